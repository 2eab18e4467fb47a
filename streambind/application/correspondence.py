"""What listeners send: replies and dead letters, planned before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from streambind.application.links import Links
from streambind.binding.factory import BinderFactory
from streambind.binding.outcome import Failed, Unknown
from streambind.configuration import BindingProperties, Configuration
from streambind.configuration.destinations import destinations_of
from streambind.errors import SendError, SendUnconfirmed
from streambind.inbound.replies import Reply
from streambind.message import Message
from streambind.outbound.bridge import StreamBridge
from streambind.outbound.publish import publish


@dataclass(frozen=True)
class PlannedReplies:
    """What `@send_to` returns: in the handler's transaction where there is one, else by the stream bridge."""

    bridge: StreamBridge

    def publish(self, session: Session, reply: Reply) -> None:
        publish(session, reply.binding, reply.payload, key=self._key(reply))  # type: ignore[arg-type]

    def send(self, replies: Sequence[Reply]) -> None:
        receipts = [
            self.bridge.send(reply.binding, reply.payload, key=self._key(reply), cause=reply.cause)
            for reply in replies
        ]
        for receipt in receipts:
            receipt.result()

    def _key(self, reply: Reply) -> object:
        if reply.key is not None or self.bridge.makes_keys(reply.binding):
            return reply.key
        return reply.inherited_key


@dataclass(frozen=True)
class PlannedDeadLetters:
    """Sends the dead letters of one input, confirmed one by one. `destinations` says where those of each of the
    input's destinations go."""

    binding: str
    destinations: Mapping[str, str]
    partition_for: Callable[[int], int | None]
    links: Links

    def send(self, message: Message) -> None:
        source, destination = message.partition, self.destinations[message.destination or ""]
        letter = Message(
            message.payload,
            message.key,
            raw_headers=message.raw_headers,
            partition=None if source is None else self.partition_for(source),
        )
        [result] = self.links.dead_letter_producer(self.binding, destination).send([letter])
        where = f"binding {self.binding}: a dead letter to {destination}"
        if isinstance(result, Failed):
            raise SendError(f"{where} was refused: {result.error}", permanent=result.permanent) from result.error
        if isinstance(result, Unknown):
            raise SendUnconfirmed(f"{where} was not confirmed: {result.reason}")


def dead_letters_of(
    name: str, properties: BindingProperties, configuration: Configuration, binders: BinderFactory, links: Links
) -> PlannedDeadLetters | None:
    """None if the binder's consumer properties ask for no dead letters."""
    binder_name = configuration.binder_name(name)
    binder_type = binders.type_of(binder_name)
    extended = configuration.binder(binder_name).consumer(name)
    found: dict[str, str] = {}
    for source in destinations_of(name, properties):
        destination = binder_type.dead_letter_destination(source, properties.group, extended)
        if destination is None:
            return None
        found[source] = destination
    return PlannedDeadLetters(
        name, found, lambda partition: binder_type.dead_letter_partition(partition, extended), links
    )
