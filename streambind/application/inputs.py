"""The inputs of an application: listeners planned per binding, and their bindings once it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from streambind.application.links import Links
from streambind.binding.binder import ConsumerBinding, ConsumerTarget, ProducerBinding, ProducerTarget
from streambind.binding.binding import DirectProducer, InputBinding, OutputBinding
from streambind.binding.factory import BinderFactory
from streambind.binding.outcome import Failed, Unknown
from streambind.configuration import BindingProperties, Configuration, ProducerProperties
from streambind.errors import SendError, SendUnconfirmed
from streambind.inbound.input import InputPlan
from streambind.inbound.replies import Reply
from streambind.inbound.statistics import Figures
from streambind.message import Message
from streambind.outbound.bridge import StreamBridge
from streambind.outbound.publish import publish

if TYPE_CHECKING:
    from streambind.application.blueprint import Blueprint

_DEAD_LETTER_TIMEOUT_MS = 10_000


@dataclass(frozen=True)
class PlannedReplies:
    """What `@send_to` returns: in the handler's transaction where there is one, else by the stream bridge."""

    bridge: StreamBridge

    def publish(self, session: Session, reply: Reply) -> None:
        publish(session, reply.binding, reply.payload, key=reply.key)  # type: ignore[arg-type]

    def send(self, replies: Sequence[Reply]) -> None:
        receipts = [self.bridge.send(reply.binding, reply.payload, key=reply.key) for reply in replies]
        for receipt in receipts:
            receipt.result()


@dataclass(frozen=True)
class PlannedDeadLetters:
    """Sends the dead letters of one input to `destination`, confirmed one by one."""

    binding: str
    destination: str
    partition_for: Callable[[int], int | None]
    links: Links

    def send(self, message: Message) -> None:
        source = message.partition
        letter = Message(
            message.payload,
            message.key,
            raw_headers=message.raw_headers,
            partition=None if source is None else self.partition_for(source),
        )
        [result] = self.links.dead_letter_producer(self.binding).send([letter])
        where = f"binding {self.binding}: a dead letter to {self.destination}"
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
    first = destinations_of(name, properties)[0]
    destination = binder_type.dead_letter_destination(first, properties.group, extended)
    if destination is None:
        return None
    return PlannedDeadLetters(
        name, destination, lambda source: binder_type.dead_letter_partition(source, extended), links
    )


def destinations_of(name: str, properties: BindingProperties) -> tuple[str, ...]:
    """The destinations of an input: a list by commas, else the binding's name."""
    listed = [part.strip() for part in (properties.destination or name).split(",")]
    return tuple(part for part in listed if part) or (name,)


class Inputs:
    """The input bindings of a started application."""

    def __init__(self, blueprint: Blueprint, binders: BinderFactory, ready: Callable[[], None]) -> None:
        self._configuration = blueprint.configuration
        self._plans = blueprint.input_plans
        self._binders = binders
        self._ready = ready
        self.bindings = {name: self._binding(name, plan) for name, plan in self._plans.items()}
        self._dead_letters: Mapping[str, DirectProducer] = {
            name: DirectProducer(self._dead_letter_binding(letters))
            for name, letters in blueprint.dead_letters.items()
        }

    def dead_letter_producer(self, name: str) -> ProducerBinding:
        return self._dead_letters[name]

    def figures(self, name: str) -> Figures | None:
        plan = self._plans.get(name)
        return None if plan is None else plan.statistics.figures()

    def auto_startup(self) -> list[str]:
        """The names of the bindings that start with the application."""
        return [name for name in self.bindings if self._properties(name).consumer.auto_startup]

    def close(self, timeout_ms: int) -> None:
        """Let go of the producers of dead letters."""
        for producer in self._dead_letters.values():
            producer.unbind(timeout_ms)

    def _properties(self, name: str) -> BindingProperties:
        return self._configuration.properties.bindings[name]

    def _binding(self, name: str, plan: InputPlan) -> InputBinding:
        properties = self._properties(name)
        binder_name = self._configuration.binder_name(name)
        target = ConsumerTarget(
            binding=name,
            destinations=destinations_of(name, properties),
            group=properties.group,
            properties=properties.consumer,
            extended=self._configuration.binder(binder_name).consumer(name),
            positions=plan.positions,
        )

        def bind() -> ConsumerBinding:
            self._ready()
            return self._binders.binder(binder_name).bind_consumer(target, plan.deliver)

        return InputBinding(
            name, bind, destination=",".join(target.destinations), binder=binder_name, group=properties.group
        )

    def _dead_letter_binding(self, letters: PlannedDeadLetters) -> OutputBinding:
        binder_name = self._configuration.binder_name(letters.binding)
        target = ProducerTarget(
            binding=f"{letters.binding} (dead letters)",
            destination=letters.destination,
            properties=ProducerProperties(),
            extended=self._configuration.binder(binder_name).producer(letters.binding),
            timeout_ms=_DEAD_LETTER_TIMEOUT_MS,
        )
        return OutputBinding(
            target.binding,
            lambda: self._binders.binder(binder_name).bind_producer(target),
            destination=letters.destination,
            binder=binder_name,
        )
