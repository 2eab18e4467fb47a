"""Letters and replays on destinations: reading all of one, and sending to those of replays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streambind.binding.binder import ProducerBinding, ProducerTarget
from streambind.binding.outcome import Failed, Unknown
from streambind.cli.plan import PlannedBinding
from streambind.cli.target import BROKER_TIMEOUT_MS, Brokers, Target
from streambind.configuration import ProducerProperties
from streambind.configuration.destinations import replay_destinations_of
from streambind.errors import ConfigurationError, SendError, SendUnconfirmed
from streambind.inbound.destination_replay import DestinationReplay
from streambind.message import Message

_SEND_TIMEOUT_MS = 10_000


def destination_replay(target: Target, planned: PlannedBinding, actor: str) -> DestinationReplay | None:
    """Replays to a group whose positions are the broker's; None if it does not listen to any."""
    destinations = replay_destinations_of(planned.name, target.configuration.properties.bindings[planned.name])
    if not destinations:
        return None
    brokers = target.lasting_brokers()
    return DestinationReplay(
        planned.group or "",
        destinations,
        read=lambda destination: held(brokers, planned.binder, destination),
        send=_Sending(brokers, planned).send,
        actor=actor,
    )


def held(brokers: Brokers, binder: str, destination: str) -> Iterator[Message]:
    """What the destination holds by now, each partition's in order."""
    info = brokers.ask(binder, lambda b: b.describe(destination, BROKER_TIMEOUT_MS))
    if info is None:
        return
    positions = {partition: start for partition, start in info.starts.items() if start < info.ends[partition]}
    while positions:
        starts = dict(positions)
        batch: Sequence[Message] = brokers.ask(binder, lambda b: b.read(destination, starts, BROKER_TIMEOUT_MS))  # noqa: B023
        if not batch:
            return  # What is left of it are marks of transactions.
        for record in batch:
            partition, offset = record.partition or 0, record.offset or 0
            if partition in positions:
                yield record
                positions[partition] = offset + 1
                if offset + 1 >= info.ends[partition]:
                    del positions[partition]


class _Sending:
    """Sends to destinations that are there, one message after the other."""

    def __init__(self, brokers: Brokers, planned: PlannedBinding) -> None:
        self._brokers = brokers
        self._planned = planned
        self._producers: dict[str, ProducerBinding] = {}

    def send(self, destination: str, message: Message) -> None:
        """Return when the broker has confirmed it.

        Raises:
            ConfigurationError: there is no such destination.
            SendError: it was not confirmed.
        """
        producer = self._producers.get(destination)
        if producer is None:
            producer = self._producers[destination] = self._producer(destination)
        with self._brokers.named(self._planned.binder):
            [result] = producer.send([message])
        where = f"binding {self._planned.name}: a replay to {destination}"
        if isinstance(result, Failed):
            raise SendError(f"{where} was refused: {result.error}", permanent=result.permanent) from result.error
        if isinstance(result, Unknown):
            raise SendUnconfirmed(f"{where} was not confirmed: {result.reason}")

    def _producer(self, destination: str) -> ProducerBinding:
        name, binder = self._planned.name, self._planned.binder
        if self._brokers.ask(binder, lambda b: b.describe(destination, BROKER_TIMEOUT_MS)) is None:
            raise ConfigurationError(
                f"binding {name}: nobody listens to {destination} yet, it is not there: start the service with "
                "consumer.replay: true, then replay"
            )
        target = ProducerTarget(
            binding=f"{name} (replays)",
            destination=destination,
            properties=ProducerProperties(),
            extended=self._brokers.configuration.binder(binder).producer(name),
            timeout_ms=_SEND_TIMEOUT_MS,
        )
        return self._brokers.ask(binder, lambda b: b.bind_producer(target))
