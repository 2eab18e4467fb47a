"""Numbers that anyone may have written: they neither stop a partition nor hold it up without end."""

from __future__ import annotations

import random
import uuid
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.event import listen
from sqlalchemy.exc import OperationalError

from streambind.binding.outcome import Continue, Outcome, Stop
from streambind.errors import DeliveryError, SequenceForkError
from streambind.inbound.guard import SequenceGuard
from tests.integration.inbound.parking import batch, of_key
from tests.integration.inbound.service import DESTINATION, Letters, Service, drain, event
from tests.unit.inbound.batches import ListBatch, Record, numbered

LONG = random.Random(1).randbytes(4_000)
"""Longer than a row of an index, however it is compressed."""


def _as(rec: Record, key: bytes) -> Record:
    return Record(rec.payload, key, rec.headers)


@pytest.mark.parametrize(
    "rec",
    [
        _as(numbered(event("k", 2), "", 1), LONG),
        numbered(event("k", 2), "k", 1, source="\N{GREEK SMALL LETTER ALPHA}" * 36),
    ],
    ids=["key", "source"],
)
def test_a_number_that_the_table_cannot_keep_is_none(service: Service, rec: Record) -> None:
    plan = service.keeping()
    batch = ListBatch([numbered(event("k", 1), "a", 1), rec, numbered(event("k", 3), "a", 2)])

    assert plan.deliver(batch) == Outcome(3, Continue())
    assert service.effects() == [("k", 1), ("k", 2), ("k", 3)]
    assert service.guarded() == {b"a": (1, 2)}


class _TooLarge(Exception):
    sqlstate = "54000"


@pytest.mark.parametrize("step", ["examine", "record"])
@pytest.mark.parametrize("on_error", ["stop", "dlq"])
def test_what_the_database_refuses_of_a_number_stops_the_partition_with_a_name(
    any_service: Service, monkeypatch: pytest.MonkeyPatch, step: str, on_error: str
) -> None:
    poison = uuid.uuid4()
    original: Any = getattr(SequenceGuard, step)

    def refuses(self: SequenceGuard, *arguments: Any, **named: Any) -> Any:
        found = original(self, *arguments, **named)
        applied = arguments[-1].applied if step == "record" else found.applied
        if any(last.event_id == str(poison) for last in applied.values()):
            raise OperationalError("INSERT", {}, _TooLarge("index row size 4056 exceeds 2704"))
        return found

    monkeypatch.setattr(SequenceGuard, step, refuses)
    letters = Letters()
    plan = any_service.keeping(letters=letters, on_error=on_error)
    records = [numbered(event("k", n), f"k{n}", 1) for n in (1, 2, 4, 5)]
    records.insert(2, numbered(event("k", 3), "k3", 1, event_id=poison))

    outcomes = drain(plan, ListBatch(records))

    last = outcomes[-1].then
    assert isinstance(last, Stop)
    assert type(last.error) is DeliveryError
    text = "things[0]@2 failed: DeliveryError: its position, its number or itself cannot be kept"
    assert text in str(last.error)
    assert "SQLSTATE 54000" in str(last.error)
    assert any_service.effects() == [("k", 1), ("k", 2)]
    assert any_service.position() == 2
    assert letters.sent == []


def test_an_epoch_that_leaves_others_out_stops_the_partition(any_service: Service) -> None:
    plan = any_service.keeping()
    records = [numbered(event("k", 1), "k", 1), numbered(event("k", 9), "k", 1, epoch=2**31 - 1)]

    last = drain(plan, ListBatch(records))[-1].then

    assert isinstance(last, Stop)
    assert isinstance(last.error, SequenceForkError)
    assert any_service.guarded() == {b"k": (1, 1)}


@pytest.mark.parametrize("epoch", [3, 1000, 2**31 - 1])
def test_an_unknown_key_is_no_way_to_an_epoch_that_the_source_never_had(any_service: Service, epoch: int) -> None:
    """One forged record would have all later events of the source passed over."""
    service = any_service
    for adopted in ("earliest", "latest"):
        service.forget_positions()
        plan = service.keeping(adopt=(0, adopted))
        forged = numbered(event("other", 1), "other", 1, epoch=epoch)
        outcomes = drain(plan, ListBatch([numbered(event("k", 1), "k", 1), forged]))
        assert isinstance(outcomes[-1].then, Stop)
        assert isinstance(outcomes[-1].then.error, SequenceForkError)
        assert service.guarded() == {b"k": (1, 1)}

    drain(service.keeping(adopt=None), ListBatch([numbered(event("k", 2), "k", 2)], 1))
    assert service.effects() == [("k", 1), ("k", 2)]


def test_the_epoch_of_a_source_is_asked_for_once(sync_service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a key that is new: all rows of the source are read for it."""
    asked: list[str] = []
    plan = sync_service.keeping()
    engine = sync_service.database.engine
    listen(engine, "before_cursor_execute", lambda c, cursor, statement, *_: asked.append(statement))
    for offset in range(5):
        drain(plan, ListBatch([numbered(event("k", 1), f"k{offset}", 1, epoch=2)], offset))

    assert sum("max(sb_guard.epoch)" in statement for statement in asked) == 2


def test_a_new_epoch_is_told_and_what_the_older_one_still_sends_is_counted(
    any_service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    plan = any_service.keeping()
    epochs = [(1, 1), (2, 2), (2, 2), (1, 2), (1, 3)]
    batch = ListBatch([numbered(event("k", seq), "k", seq, epoch=epoch) for epoch, seq in epochs])

    assert plan.deliver(batch) == Outcome(5, Continue())

    figures = plan.statistics.figures()
    assert (figures.duplicates, figures.stale) == (1, 2)
    assert [r.message for r in caplog.records if r.levelname == "WARNING"] == [
        "things[0]@1: epoch 2 of its key's source begins after epoch 1"
    ]


def test_a_key_that_had_no_event_in_an_epoch_goes_on_in_the_next(any_service: Service) -> None:
    plan = any_service.keeping()
    first = [numbered(event("k", 1), "k", 1), numbered(event("other", 1), "other", 1)]
    assert plan.deliver(ListBatch(first, 0, DESTINATION)) == Outcome(2)
    later = [numbered(event("other", 2), "other", 2, epoch=2), numbered(event("k", 2), "k", 2, epoch=3)]
    assert plan.deliver(ListBatch(later, 2, DESTINATION)) == Outcome(2)
    assert any_service.guarded() == {b"k": (3, 2), b"other": (2, 2)}


def test_a_number_that_the_table_refuses_stops_its_partition_by_name(postgres_service: Service) -> None:
    """A constraint of the database's owner on our table: no race, which would be tried again at once."""
    service = postgres_service
    service.database.run(
        lambda c: c.execute(text("ALTER TABLE sb_guard ADD CONSTRAINT only_small CHECK (seq < 2)"))
    )
    try:
        outcomes = drain(service.keeping(), batch(*of_key("j", 1), *of_key("k", 1, 2)))
    finally:
        service.database.run(lambda c: c.execute(text("ALTER TABLE sb_guard DROP CONSTRAINT only_small")))

    assert service.position() == 2
    last = outcomes[-1].then
    assert isinstance(last, Stop)
    assert "only_small" in str(last.error)
