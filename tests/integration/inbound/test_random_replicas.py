"""Replicas against a model: whatever is published, repeated and cut into batches, the table holds what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from streambind.binding.binder import Lane
from streambind.binding.outcome import Continue, Seek
from streambind.inbound import guard, replica_rows
from streambind.read_ahead import ReadAhead
from tests.integration.inbound.replicas import Fitting, Item, Kept, Offer, changed, rows, tombstone
from tests.integration.inbound.service import DESTINATION, Service
from tests.unit.inbound.batches import ListBatch, Record

KEYS = st.integers(1, 4)
NAMES = st.sampled_from(["a", "b", "최종", 'q"{},\\', ""])
JOBS = st.sampled_from(["put", "put", "put", "delete", "tombstone", "again", "again", "poison"])


@dataclass
class Published:
    """What a source has published, in order, and what a table must hold once it is all applied."""

    records: list[Record] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)
    rows: dict[int, tuple[str, int]] = field(default_factory=dict)
    ever: dict[int, tuple[str, int]] = field(default_factory=dict)
    born: dict[int, int] = field(default_factory=dict)
    """Where in the log each of these rows came, or came back."""
    dead: set[int] = field(default_factory=set)
    """Keys that are parked: what follows of them waits."""

    def add(self, job: str, key: int, name: str, price: int) -> None:
        self.numbers[key] = seq = self.numbers.get(key, 0) + 1
        if job == "put":
            kind = "UPDATE" if key in self.rows else "INSERT"
            self.records.append(changed(kind, key, name, seq=seq, price=price))
        elif job == "delete":
            self.records.append(changed("DELETE", key, seq=seq))
        elif job == "tombstone":
            self.records.append(tombstone(str(key), seq=seq))
        else:
            self.records.append(changed("RENAME", key, seq=seq))
            self.dead.add(key)
        if key in self.dead:
            return
        if job == "put":
            if key not in self.rows:
                self.born[key] = len(self.records) - 1
            self.rows[key] = self.ever[key] = (name, price)
        else:
            self.rows.pop(key, None)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Published, list[int]]:
    """Events, some of them repeated later in the log, and where the log is cut into batches."""
    published = Published()
    steps = draw(st.lists(st.tuples(JOBS, KEYS, NAMES, st.integers(0, 4)), min_size=1, max_size=25))
    for job, key, name, price in steps:
        for each in ("delete", "put") if job == "again" else (job,):
            published.add(each, key, name, price)
        if draw(st.integers(0, 3)) == 0:
            # What was sent before comes again: a duplicate, and stale.
            published.records.append(published.records[draw(st.integers(0, len(published.records) - 1))])
    cuts = draw(st.lists(st.integers(1, len(published.records)), max_size=6))
    return published, sorted({*cuts, len(published.records)})


def deliver(
    service: Service,
    entity: type,
    published: Published,
    cuts: list[int],
    *,
    between: Callable[[int], object] = lambda cut: None,
    is_published: bool = False,
    steps_ahead: int | None = None,
) -> None:
    """All batches, each of them once more: a zombie's, which is fenced. `between` is called after each but the
    last. They are read ahead so many steps, unless that is None."""
    plan = service.plan(entity, on_error="park", max_attempts=1, published=is_published)
    assert plan.positions is not None
    start = 0
    for cut in cuts:
        rest: ListBatch | None = ListBatch(published.records[start:cut], start, DESTINATION, 0)
        again = rest
        if steps_ahead is not None and rest is not None:
            rest.ahead = ReadAhead(rest, plan.readers)
            for _ in range(steps_ahead):
                rest.ahead.step()
        while rest is not None:
            outcome = plan.deliver(rest)
            assert isinstance(outcome.then, Continue), outcome
            rest = rest.after(outcome.done)
        assert again is not None
        assert plan.deliver(again).then == Seek(cut)
        if cut < cuts[-1]:
            between(cut)
        start = cut
    assert plan.positions.read([Lane(DESTINATION, 0)]) == {Lane(DESTINATION, 0): len(published.records)}


def empty(service: Service, entity: Any) -> None:
    tables = service.database.tables
    used = (tables.position, tables.guard, tables.parked_key, tables.parked, entity.__table__)
    service.database.run(lambda c: [c.execute(delete(table)) for table in used])


SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def reads_two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "READ_AT_ONCE", 2)
    monkeypatch.setattr(replica_rows, "READ_AT_ONCE", 2)


@pytest.mark.usefixtures("reads_two_at_once")
@pytest.mark.parametrize("is_published", [False, True])
@SETTINGS
@given(history=histories(), steps_ahead=st.none() | st.integers(0, 15))
def test_a_replica_is_what_its_source_says(
    every_service: Service, is_published: bool, history: tuple[Published, list[int]], steps_ahead: int | None
) -> None:
    published, cuts = history
    empty(every_service, Item)
    deliver(every_service, Item, published, cuts, is_published=is_published, steps_ahead=steps_ahead)
    found = rows(every_service, select(Item.id, Item.name, Item.price))
    assert {key: (name, price) for key, name, price in found} == published.rows
    guarded = every_service.guarded()
    whole = {str(key).encode(): (1, seq) for key, seq in published.numbers.items() if key not in published.dead}
    assert {key: number for key, number in guarded.items() if key in whole} == whole


@pytest.mark.parametrize("is_published", [False, True])
@SETTINGS
@given(history=histories())
def test_rows_are_there_while_they_fit(
    every_service: Service, is_published: bool, history: tuple[Published, list[int]]
) -> None:
    published, cuts = history
    empty(every_service, Fitting)
    deliver(every_service, Fitting, published, cuts, is_published=is_published)
    found = rows(every_service, select(Fitting.id, Fitting.name, Fitting.price))
    expected = {key: row for key, row in published.rows.items() if row[1] != 2}
    assert {key: (name, price) for key, name, price in found} == expected


@SETTINGS
@given(history=histories())
def test_columns_of_others_live_and_die_with_the_row(
    every_service: Service, history: tuple[Published, list[int]]
) -> None:
    """A row's note is written by the service between batches; a DELETE takes it along, an update does not."""
    published, cuts = history
    empty(every_service, Offer)

    def note(cut: int) -> None:
        every_service.database.run(lambda c: c.execute(update(Offer).values(note=f"at {cut}", stock=cut)))

    deliver(every_service, Offer, published, cuts, between=note)

    expected: dict[int, tuple[str, int, str]] = {}
    for key, (name, _) in published.rows.items():
        last = max((cut for cut in cuts[:-1] if cut > published.born[key]), default=0)
        expected[key] = (name, last, f"at {last}" if last else "new")
    found = rows(every_service, select(Offer.id, Offer.name, Offer.stock, Offer.note))
    assert {key: (name, stock, note) for key, name, stock, note in found} == expected


@pytest.mark.usefixtures("reads_two_at_once")
@SETTINGS
@given(history=histories(), steps_ahead=st.none() | st.integers(0, 15))
def test_soft_deletes_keep_the_last_values(
    every_service: Service, history: tuple[Published, list[int]], steps_ahead: int | None
) -> None:
    published, cuts = history
    empty(every_service, Kept)
    deliver(every_service, Kept, published, cuts, steps_ahead=steps_ahead)
    found = rows(every_service, select(Kept.id, Kept.name, Kept.price, Kept.deleted_at.is_(None)))
    assert {key: (name, price) for key, name, price, _ in found} == published.ever
    assert {key for key, _, _, is_there in found if is_there} == set(published.rows)
