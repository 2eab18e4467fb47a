"""What failed for good, of both stores: parked messages in the database, letters on dead-letter destinations."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

from streambind.application.dead_letters import LetterRoute, letter_route
from streambind.cli.dlq_destination import destination_replay, held
from streambind.cli.plan import PlannedBinding, planned_bindings
from streambind.cli.target import Brokers, Target, ask_database
from streambind.configuration.properties import ConsumerProperties
from streambind.errors import ConfigurationError, PermanentError
from streambind.inbound.letter import Letter, read_letter
from streambind.inbound.letter_replay import LetterReplay
from streambind.inbound.parked_batch import ParkedBatch
from streambind.inbound.parked_listing import ParkedFilter, StoredMessage
from streambind.inbound.parked_messages import ParkedMessages
from streambind.inbound.parked_queues import Queue
from streambind.inbound.replay import Replay, place_of
from streambind.inbound.stored_positions import stored_positions
from streambind.message import Message

OPEN = "open"


@dataclass(frozen=True, slots=True)
class Item:
    """One message that failed; `message` has no payload and headers where a parked one was not read whole.

    `state`: of a parked one `retry`, `gap` or `dead`; of a letter `open`, `replayed`
    or `skipped`. One of `parked` and `letter` is there. `behind`: the id of the first message of its key,
    which failed while this one only waits."""

    id: str
    state: str
    message: Message
    error: str
    text: str
    failed_ms: int | None
    attempts: int | None
    parked: StoredMessage | None = None
    letter: Letter | None = None
    behind: str | None = None


@dataclass(frozen=True)
class Desk:
    """One input, and what can be done with its failed messages. `stored` is there if the group keeps its positions
    in the database; `replay` then too, or if it listens to destinations for replays."""

    planned: PlannedBinding
    route: LetterRoute | None
    stored: ParkedMessages | None
    replay: Replay | None

    @property
    def name(self) -> str:
        return self.planned.name

    def require_replay(self) -> Replay:
        """
        Raises:
            ConfigurationError: the group's positions are at the broker, and it listens to no replays.
        """
        if self.replay is None:
            raise ConfigurationError(
                f"binding {self.name}: its letters cannot be replayed to group {self.planned.group} alone, for it "
                "keeps no positions in a database, or none yet: let the service run once if a listener takes a "
                "Session; else set consumer.replay: true and start it again, or handle what "
                "`streambind dlq export` writes"
            )
        return self.replay

    def parked(self, wanted: ParkedFilter, *, whole: bool) -> Iterator[Item]:
        """The parked messages that are asked for, each key's in their order; `whole`: with payloads."""
        if self.stored is not None:
            yield from (_parked(stored) for stored in self.stored.messages(wanted, whole=whole))

    def letters(self, brokers: Brokers) -> Iterator[Item]:
        """All letters, in the order of their log."""
        known = {} if self.replay is None else self.replay.known()
        for letter in self._letters(brokers):
            yield _letter(letter, known.get(place_of(letter), OPEN))

    def _letters(self, brokers: Brokers) -> Iterator[Letter]:
        """Without those of other groups, and without the copies that a relay sent which died meanwhile."""
        if self.route is None:
            return
        seen: set[object] = set()
        for destination in dict.fromkeys(self.route.destinations.values()):
            for record in held(brokers, self.planned.binder, destination):
                letter = read_letter(record)
                came = letter.message
                copy_of = (came.destination, came.partition, came.offset, letter.first_failure_ms)
                if letter.group not in (None, self.planned.group) or copy_of in seen:
                    continue
                if letter.first_failure_ms is not None:
                    seen.add(copy_of)
                yield letter


@dataclass(frozen=True)
class Taken:
    """What a command works on, of one input: the ids of parked messages by key, in their order, and letters."""

    desk: Desk
    parked: dict[Queue, list[int]] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)

    def add(self, item: Item) -> None:
        if item.parked is not None:
            self.parked.setdefault(item.parked.queue, []).append(item.parked.message.id)
        if item.letter is not None:
            self.letters.append(item.letter.to_be_kept())

    def __len__(self) -> int:
        return sum(map(len, self.parked.values())) + len(self.letters)


def desks(target: Target, binding: str | None, *, actor: str | None = None) -> list[Desk]:
    """The inputs with a group, or the one named.

    Raises:
        ConfigurationError: there is no such input.
        DatabaseUnavailableError, SchemaError: the database does not answer.
    """
    inputs = [each for each in planned_bindings(target) if each.is_input and each.group is not None]
    if binding is not None:
        chosen = [each for each in inputs if each.name == target.configuration.find_binding(binding)]
        if not chosen:
            known = ", ".join(each.name for each in inputs)
            raise ConfigurationError(f"{binding} is no input with a group; such are: {known or 'none'}")
        inputs = chosen
    groups = _groups(target) if any(each.positions is not False for each in inputs) else frozenset[str]()
    who = actor or f"{getpass.getuser()}@{socket.gethostname()}"
    return [_desk(target, each, groups, who) for each in inputs]


def _desk(target: Target, planned: PlannedBinding, groups: frozenset[str], actor: str) -> Desk:
    properties = target.configuration.properties.bindings[planned.name]
    with target.brokers() as brokers:
        route = letter_route(planned.name, properties, target.configuration, brokers.factory)
    group = planned.group or ""
    if planned.positions is False or (planned.positions is None and group not in groups):
        return Desk(planned, route, None, destination_replay(target, planned, actor))
    database, consumer = target.database(), properties.consumer
    numbered = _numbered(consumer)
    return Desk(
        planned,
        route,
        ParkedMessages(database, group, planned.destinations, numbered=numbered, actor=actor),
        LetterReplay(database, group, planned.destinations, consumer.parking, numbered=numbered, actor=actor),
    )


def _numbered(consumer: ConsumerProperties) -> bool:
    return consumer.sequence == "trust"


def _groups(target: Target) -> frozenset[str]:
    """The groups that have a position in the database."""
    if not target.has_database:
        return frozenset()
    database = target.database()
    return frozenset(group for group, _ in ask_database(database, lambda: stored_positions(database)))


def _parked(stored: StoredMessage) -> Item:
    batch = ParkedBatch(stored.message)
    try:
        message = batch.message(0)
    except PermanentError:
        message = Message(batch.payload(0), batch.key(0), destination=batch.destination)
        message.partition, message.offset, message.timestamp_ms = batch.partition, batch.offset(0), None
    return Item(
        id=f"parked/{stored.message.id}",
        state=str(stored.state),
        message=message,
        error=stored.error_class,
        text=stored.error_text,
        failed_ms=stored.since_ms,
        attempts=stored.attempts,
        parked=stored,
        behind=None if stored.message.id == stored.first else f"parked/{stored.first}",
    )


def _letter(letter: Letter, state: str) -> Item:
    stands = letter.stands
    return Item(
        id=f"{stands.destination}/{stands.partition}/{stands.offset}",
        state=state,
        message=letter.message,
        error=letter.cause.name or "unknown",
        text=letter.cause.text,
        failed_ms=letter.failed_ms,
        attempts=letter.attempts,
        letter=letter,
    )
