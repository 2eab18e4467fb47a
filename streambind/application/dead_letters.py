"""Where the dead letters of an application go, planned before anything runs, and what sends them once it does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from streambind.application.links import Links
from streambind.binding.binder import ProducerBinding, ProducerTarget
from streambind.binding.binding import DirectProducer, OutputBinding
from streambind.binding.factory import BinderFactory
from streambind.binding.fencing import bind_fenced
from streambind.binding.outcome import Failed, Unknown
from streambind.configuration import BindingProperties, Configuration, ProducerProperties
from streambind.configuration.destinations import destinations_of, replay_destinations_of
from streambind.configuration.properties import DeadLetterFormat
from streambind.errors import SendError, SendUnconfirmed
from streambind.inbound.letter_producer import LetterProducer
from streambind.message import Message
from streambind.outbound.outbox import Outbox
from streambind.outbound.outgoing import Outgoing

_TIMEOUT_MS = 10_000


@dataclass(frozen=True)
class LetterRoute:
    """Where the dead letters of an input go, by the destination that their messages came from, and how they
    look."""

    binding: str
    binder: str
    group: str
    destinations: Mapping[str, str]
    format: DeadLetterFormat
    partition_for: Callable[[int], int | None]


@dataclass(frozen=True)
class PlannedDeadLetters:
    """The dead letters of one input: written to the outbox, or sent directly, confirmed one by one."""

    route: LetterRoute
    links: Links
    outbox: Outbox | None

    @property
    def format(self) -> DeadLetterFormat:
        return self.route.format

    @property
    def group(self) -> str:
        return self.route.group

    def send(self, letter: Message) -> None:
        destination = self._destination(letter)
        addressed = Message(
            letter.payload, letter.key, raw_headers=letter.raw_headers, partition=self._partition(letter)
        )
        [result] = self.links.dead_letter_producer(self.route.binding, destination).send([addressed])
        where = f"binding {self.route.binding}: a dead letter to {destination}"
        if isinstance(result, Failed):
            raise SendError(f"{where} was refused: {result.error}", permanent=result.permanent) from result.error
        if isinstance(result, Unknown):
            raise SendUnconfirmed(f"{where} was not confirmed: {result.reason}")

    def write(self, connection: Connection, letter: Message) -> None:
        assert self.outbox is not None, "effects in a database come with its outbox"
        outgoing = Outgoing(
            binding=self.route.binding,
            destination=self._destination(letter),
            key=letter.key,
            payload=letter.payload,
            headers=tuple(letter.raw_headers),
            event_id=None,
            partition=self._partition(letter),
        )
        self.outbox.write(connection, [outgoing])

    def _destination(self, letter: Message) -> str:
        return self.route.destinations[letter.destination or ""]

    def _partition(self, letter: Message) -> int | None:
        return None if letter.partition is None else self.route.partition_for(letter.partition)


def letter_route(
    name: str, properties: BindingProperties, configuration: Configuration, binders: BinderFactory
) -> LetterRoute | None:
    """None if the binder's consumer properties ask for no dead letters.

    Raises:
        ConfigurationError: they ask for some that have nowhere to go.
    """
    binder_name = configuration.binder_name(name)
    binder_type = binders.type_of(binder_name)
    extended = configuration.binder(binder_name).consumer(name)
    found: dict[str, str] = {}
    for source in destinations_of(name, properties):
        destination = binder_type.dead_letter_destination(source, properties.group, extended)
        if destination is None:
            return None
        found[source] = destination
    for source, replays in replay_destinations_of(name, properties).items():
        found[replays] = found[source]
    return LetterRoute(
        binding=name,
        binder=binder_name,
        group=properties.group or "",
        destinations=found,
        format=binder_type.dead_letter_format(extended),
        partition_for=lambda partition: binder_type.dead_letter_partition(partition, extended),
    )


class LetterProducers:
    """The producers for dead letters of a started application, each bound at its first send. Thread-safe."""

    def __init__(self, routes: Mapping[str, LetterRoute], configuration: Configuration, binders: BinderFactory):
        self._routes = routes
        self._configuration = configuration
        self._binders = binders
        self._producers: dict[tuple[str, str, int | None], LetterProducer] = {}
        self._lock = threading.Lock()

    def direct(self, name: str, destination: str) -> ProducerBinding:
        """For sends that somebody waits for."""
        return self._producer(name, destination, _TIMEOUT_MS)

    def relay(self, destination: str) -> ProducerBinding | None:
        """For the relay, whose sends wait without limit; None if no dead letters go there."""
        for name, route in self._routes.items():
            if destination in route.destinations.values():
                return self._producer(name, destination, None)
        return None

    def fenced(self, destination: str, fence: str) -> ProducerBinding | None:
        """For the relay, a new one with a fence, which its user unbinds; None if no dead letters go there.

        Raises:
            BrokerError: the broker is away or refuses.
            ConfigurationError: the broker has no fences.
        """
        for name, route in self._routes.items():
            if destination in route.destinations.values():
                target = self._target(name, destination, None)
                return LetterProducer(bind_fenced(self._binders.binder(route.binder), target, fence))
        return None

    def close(self, timeout_ms: int) -> None:
        with self._lock:
            producers = list(self._producers.values())
        for producer in producers:
            producer.unbind(timeout_ms)

    def _producer(self, name: str, destination: str, timeout_ms: int | None) -> LetterProducer:
        with self._lock:
            known = self._producers.get((name, destination, timeout_ms))
            if known is None:
                known = LetterProducer(DirectProducer(self._binding(name, destination, timeout_ms)))
                self._producers[name, destination, timeout_ms] = known
            return known

    def _target(self, name: str, destination: str, timeout_ms: int | None) -> ProducerTarget:
        return ProducerTarget(
            binding=f"{name} (dead letters)",
            destination=destination,
            properties=ProducerProperties(),
            extended=self._configuration.binder(self._routes[name].binder).producer(name),
            timeout_ms=timeout_ms,
        )

    def _binding(self, name: str, destination: str, timeout_ms: int | None) -> OutputBinding:
        binder_name = self._routes[name].binder
        target = self._target(name, destination, timeout_ms)
        return OutputBinding(
            target.binding,
            lambda: self._binders.binder(binder_name).bind_producer(target),
            destination=destination,
            binder=binder_name,
        )
