"""Logs of three partitions with all that may come, delivered jointly or each by itself, and what they leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import Connection, delete, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from streambind.binding.binder import Lane
from streambind.binding.outcome import Apart, Continue, Outcome, RetryAfter, Seek, Stop
from streambind.inbound.input import InputPlan
from streambind.joint_batch import JointBatch
from tests.integration.inbound.parking import parking_settings, turns
from tests.integration.inbound.service import DESTINATION, Effect, Event, Letters, Service, event, keep
from tests.unit.inbound.batches import ListBatch, Record, numbered, record

PARTITIONS = 3
LATEST = 2
"""The partition whose first messages the group has not seen."""
STARTS = {0: (0, "earliest"), 1: (0, "earliest"), LATEST: (7, "latest")}
WANDERER = "w"
"""The key that comes in two partitions."""
APART = Outcome(0, Apart())


def partition_of(key: str) -> int:
    return int(key[-1])


@dataclass
class Log:
    """What is in the partitions; which events fail always, and which at the first try."""

    records: dict[int, list[Record]] = field(default_factory=lambda: {p: [] for p in range(PARTITIONS)})
    poison: set[tuple[str, int]] = field(default_factory=set)
    flaky: set[tuple[str, int]] = field(default_factory=set)
    _numbers: dict[str, int] = field(default_factory=dict)
    _missing: list[tuple[str, int]] = field(default_factory=list)
    _other: int = 1000

    def write(self, what: str, key: str, pick: int) -> None:
        partition = pick % 2 if key == WANDERER else partition_of(key)
        written = self.records[partition]
        if what == "again":
            written += written[pick % len(written) :][:1] if written else []
        elif what == "late":
            for missing in [each for each in self._missing if each[0] == key][:1]:
                self._missing.remove(missing)
                written.append(_numbered(*missing))
        elif what in ("plain", "unreadable", "null", "keyless"):
            self._other += 1
            written.append(_other(what, key, self._other))
        else:
            number = self._numbers.get(key, 4 if partition == LATEST else 0) + 1
            self._numbers[key] = number
            if what == "skip":
                self._missing.append((key, number))
                return
            if what in ("poison", "flaky"):
                getattr(self, what).add((key, number))
            written.append(_numbered(key, number))

    def batch(self, partition: int, begin: int, end: int) -> ListBatch | None:
        """The messages between two offsets."""
        start = STARTS[partition][0]
        records = self.records[partition][begin - start : end - start]
        return ListBatch(records, begin, DESTINATION, partition) if records else None


def _numbered(key: str, number: int) -> Record:
    return numbered(event(key, number), key, number)


def _other(what: str, key: str, number: int) -> Record:
    plain = record(event(key, number), key)
    match what:
        case "unreadable":
            return Record(plain.payload, plain.key, unreadable=True)
        case "null":
            return Record(None, plain.key)
        case "keyless":
            return Record(record(event(f"none {key[-1]}", number)).payload)
    return plain


Write = tuple[str, str, int]
Round = tuple[Sequence[int], Sequence[int]]
"""In which order the partitions come, and how many messages of each of them."""


@dataclass(frozen=True)
class Course:
    """What is written, the policy, how it is delivered, what the database does to the n-th transactions
    (`refused`, or `lost`: committed, and nobody is told), and after which time a part of a batch is committed."""

    writes: Sequence[Write]
    rounds: Sequence[Round]
    on_error: str = "park"
    faults: dict[int, str] = field(default_factory=dict)
    commit_after_ms: int = 1000

    def log(self) -> Log:
        log = Log()
        for write in self.writes:
            log.write(*write)
        return log


@dataclass
class Left:
    """What is there in the end. Of the key that comes in two partitions only what does not depend on which of
    them was first."""

    effects: dict[str, list[int]]
    positions: dict[int, int]
    numbers: dict[tuple[str, bytes], tuple[Any, ...]]
    parked: dict[bytes, list[tuple[int, int]]]
    states: dict[bytes, str]
    letters: list[tuple[bytes | None, bytes | None]]
    counts: tuple[int, ...]


class Reading:
    """A group that reads a log."""

    def __init__(self, service: Service, course: Course) -> None:
        self.service = service
        self.log = course.log()
        self.letters = Letters()
        self._faults = course.faults
        _empty(service)
        self.plan = self._plan(course)
        self.zombie = self._plan(course)
        assert self.plan.positions is not None
        self.plan.positions.adopt({Lane(DESTINATION, p): start for p, start in STARTS.items()}, {})
        self.at = {partition: start for partition, (start, _) in STARTS.items()}
        self._stale: list[ListBatch] = []

    def _plan(self, course: Course) -> InputPlan:
        letters = self.letters if course.on_error == "dlq" else None
        given = parking_settings(
            on_error=course.on_error, parking={"max_attempts": 3}, commit_after_ms=course.commit_after_ms
        )
        return self.service.plan(self.service.listener(self._handle), letters=letters, adopt=None, **given)

    def _handle(self, event: Event, session: Session) -> None:
        keep(event, session)
        session.flush()
        it = event.key, event.number
        if it in self.log.poison or it in self.log.flaky:
            self.log.flaky.discard(it)
            raise ValueError("poison")

    def ends(self) -> dict[int, int]:
        return {p: STARTS[p][0] + len(records) for p, records in self.log.records.items()}

    def read(self, rounds: Sequence[Round], *, jointly: bool) -> None:
        """All of it: in these rounds, then in rounds of two messages each."""
        everything: list[Round] = [(range(PARTITIONS), [2] * PARTITIONS)] * sum(
            map(len, self.log.records.values())
        )
        with self._faulty() if jointly else _nothing():
            for order, sizes in [*rounds, *everything]:
                parts = [
                    part
                    for p in order
                    if (part := self.log.batch(p, self.at[p], self.at[p] + sizes[p])) is not None
                ]
                if jointly:
                    self._zombie_is_refused(parts)
                if not (jointly and len(parts) > 1 and self._together(parts)):
                    for part in parts:
                        self._alone(part)
                self._stale = [part for part in parts if self.at[part.partition] > part.position]
        assert self.at == self.ends()
        turns(self.plan)

    def _together(self, parts: list[ListBatch]) -> bool:
        outcome = self.plan.deliver(JointBatch(parts))
        if outcome == Outcome(sum(map(len, parts))):
            self.at |= {part.partition: part.next_offset for part in parts}
            return True
        assert outcome == APART
        return False

    def _alone(self, part: ListBatch) -> None:
        """As a binder does, without its pauses."""
        rest: ListBatch | None = part
        for _ in range(50):
            if rest is None:
                return
            outcome = self.plan.deliver(rest)
            match outcome.then:
                case Continue() | RetryAfter():
                    rest = rest.after(outcome.done)
                    self.at[part.partition] = part.next_offset if rest is None else rest.position
                case Seek(offset):
                    rest = self.log.batch(part.partition, offset, part.next_offset)
                    self.at[part.partition] = offset
                case Stop() | Apart():
                    raise AssertionError(f"{part}: {outcome}")
        raise AssertionError(f"{part} has no end")

    def _zombie_is_refused(self, parts: list[ListBatch]) -> None:
        """One that holds what was handled before for new, of one partition or of all."""
        for stale in (self._stale[:1], self._stale):
            others = [part for part in parts if part.partition not in {each.partition for each in stale}]
            if stale and len(stale) + len(others) > 1:
                assert self.zombie.deliver(JointBatch([*others, *stale])) == APART

    @contextmanager
    def _faulty(self) -> Iterator[None]:
        run, count = self.service.database.run, 0

        def at_times(work: Callable[[Connection], Any]) -> Any:
            nonlocal count
            count += 1
            fault = self._faults.get(count)

            def works(connection: Connection) -> Any:
                result = work(connection)
                if fault == "refused":
                    raise _gone()
                return result

            result = run(works)
            if fault == "lost":
                raise _gone()
            return result

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(self.service.database, "run", at_times)
            yield

    def left(self) -> Left:
        figures, tables = self.plan.statistics.figures(), self.service.database.tables

        def rows(table: Any, order: Any = None) -> Sequence[Any]:
            return self.service.database.run(lambda c: c.execute(select(table).order_by(order)).all())

        effects: dict[str, list[int]] = {}
        for row in rows(Effect.__table__, Effect.id):
            effects.setdefault(row.key, []).append(row.number)
        parked: dict[bytes, list[tuple[int, int]]] = {}
        wanderer = WANDERER.encode()
        for row in rows(tables.parked, tables.parked.c.id):
            if row.key != wanderer:
                parked.setdefault(row.key, []).append((row.partition, row.offset))
        letters = [(letter.key, letter.payload) for letter in self.letters.sent]
        if self._faults:  # What was written in a transaction that was refused is there all the same.
            letters = [*set(letters)]
        counts = (figures.handled, figures.skipped, figures.dead_lettered)
        return Left(
            effects,
            {row.partition: row.next_offset for row in rows(tables.position)},
            {(r.source_id, r.key): (r.epoch, r.seq, r.event_id, r.applied_seq) for r in rows(tables.guard)},
            parked,
            {row.key: row.state for row in rows(tables.parked_key) if row.key != wanderer},
            sorted(letters, key=repr),
            () if self._faults else counts,
        )


def left_by(service: Service, course: Course, *, jointly: bool) -> Left:
    reading = Reading(service, course)
    reading.read(course.rounds, jointly=jointly)
    return reading.left()


def _gone() -> OperationalError:
    return OperationalError("COMMIT", {}, Exception("connection lost"), connection_invalidated=True)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _empty(service: Service) -> None:
    tables = service.database.tables
    used = (tables.position, tables.guard, tables.parked_key, tables.parked, Effect)
    service.database.run(lambda c: [c.execute(delete(table)) for table in used])
