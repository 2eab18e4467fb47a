"""A key that fails waits in the database with all that follows it; other keys go on."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from streambind.binding.outcome import Continue, Outcome, RetryAfter
from streambind.errors import PermanentError
from streambind.persistence.stored_headers import load_headers
from streambind.persistence.tables import MAX_KEY_BYTES
from tests.integration.inbound.parking import (
    Poison,
    batch,
    of_key,
    parked_key,
    parked_keys,
    parked_messages,
    parked_offsets,
    parking,
    set_key,
    turn,
    turns,
)
from tests.integration.inbound.service import Event, Letters, Service, drain, event, keep
from tests.unit.inbound.batches import SOURCE, ListBatch, Record, numbered, record


def mixed() -> ListBatch:
    """k1 a1 k2 a2 k3 a3"""
    pairs = zip(of_key("k", 1, 2, 3), of_key("a", 1, 2, 3), strict=True)
    return batch(*[each for pair in pairs for each in pair])


def test_other_keys_go_on_and_the_parked_one_drains_in_order_once_it_is_mended(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "streambind")
    poison = Poison(("k", 2))
    plan = parking(service, poison)

    outcomes = drain(plan, mixed())

    assert all(isinstance(outcome.then, Continue) for outcome in outcomes)
    assert service.effects() == [("k", 1), ("a", 1), ("a", 2), ("a", 3)]
    assert service.position() == 6
    assert parked_keys(service) == {b"k": ("retry", 0, 2)}
    assert parked_offsets(service) == [(0, 2), (0, 4)]

    plan.deliver(batch(*of_key("k", 4), *of_key("a", 4), start=6))
    assert turn(plan)
    assert parked_keys(service) == {b"k": ("retry", 1, 3)}
    poison.fix()
    assert turns(plan) == 3
    freed = [text for text in caplog.messages if "its key is parked no longer" in text]
    assert ["@6 (parked) is handled" in text for text in freed] == [True]

    assert service.effects() == [("k", 1), *[("a", n) for n in (1, 2, 3, 4)], ("k", 2), ("k", 3), ("k", 4)]
    assert parked_keys(service) == {}
    assert parked_messages(service) == []
    assert service.guarded() == {b"k": (1, 4), b"a": (1, 4)}
    figures = plan.statistics.figures()
    assert (figures.parked, figures.drained, figures.handled) == (3, 3, 8)
    plan.deliver(batch(*of_key("k", 5), start=8))
    assert service.effects()[-1] == ("k", 5)


def test_tries_in_place_come_before_the_parking(any_service: Service) -> None:
    poison = Poison(("k", 1))
    plan = parking(any_service, poison, max_attempts=3)

    outcomes = drain(plan, mixed())

    assert [type(outcome.then) for outcome in outcomes[:3]] == [RetryAfter, RetryAfter, Continue]
    assert poison.tried.count(("k", 1)) == 3
    assert parked_keys(any_service) == {b"k": ("retry", 0, 3)}


@pytest.mark.parametrize("error", [PermanentError("never"), TypeError("a defect")])
def test_what_no_repetition_mends_is_parked_at_once(any_service: Service, error: Exception) -> None:
    poison = Poison(("k", 1), error=lambda: error)
    plan = parking(any_service, poison, max_attempts=3)

    assert plan.deliver(mixed()) == Outcome(1, Continue())
    row = parked_key(any_service)
    assert (row.state, row.error_text) == ("retry", str(error))
    assert row.error_class in ("streambind.errors.PermanentError", "TypeError")


def test_messages_are_kept_as_they_came(any_service: Service) -> None:
    headers = [("h", b"\xff\x00"), ("h", None), ("contentType", b"application/json")]
    broken = Record(b"\xff{no json", b"k\x00\xff", headers, timestamp_ms=7)
    tombstone = numbered(None, "k", 2)
    plan = parking(any_service)

    drain(plan, batch(broken, tombstone))

    first, second = parked_messages(any_service)
    assert (first.payload, first.record_key, first.key) == (b"\xff{no json", b"k\x00\xff", b"k\x00\xff")
    assert load_headers(first.headers) == headers
    assert (first.timestamp_ms, first.source_id, first.seq) == (7, None, None)
    assert (second.payload, second.source_id, second.epoch, second.seq) == (None, SOURCE, 1, 2)


def test_the_position_moves_with_the_parking_or_not_at_all(
    any_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streambind.failpoints import FailpointError
    from tests.integration.inbound.crashes import crashing_at

    plan = parking(any_service, Poison(("k", 1)))
    for point in ("parking.after_key", "parking.after_message"):
        with crashing_at(point), pytest.raises(FailpointError):
            plan.deliver(mixed())
        assert (any_service.position(), parked_keys(any_service), parked_messages(any_service)) == (0, {}, [])
    drain(plan, mixed())
    with crashing_at("parking.after_set_aside"), pytest.raises(FailpointError):
        plan.deliver(batch(*of_key("k", 4), start=6))
    assert (any_service.position(), len(parked_messages(any_service))) == (6, 3)


def test_a_crash_at_any_statement_of_a_retry_leaves_all_or_nothing(any_service: Service) -> None:
    from streambind.failpoints import FailpointError
    from tests.integration.inbound.crashes import crashing_at

    poison = Poison(("k", 1))
    plan = parking(any_service, poison)
    drain(plan, batch(*of_key("k", 1, 2)))
    poison.fix()
    points = ["after_claim", "after_begin", "after_handler", "after_delete", "before_commit"]
    for begun, point in enumerate(points):
        with crashing_at(f"parking.{point}"), pytest.raises(FailpointError):
            turn(plan)
        assert any_service.effects() == []
        assert parked_keys(any_service) == {b"k": ("retry", begun, 2)}, (
            "that a try began is kept, and nothing else"
        )
    with crashing_at("parking.after_retry"), pytest.raises(FailpointError):
        turn(plan)
    assert any_service.effects() == [("k", 1)]
    turns(plan)
    assert any_service.effects() == [("k", 1), ("k", 2)]


def test_a_key_is_dead_after_its_tries_and_its_messages_go_on_waiting(any_service: Service) -> None:
    poison = Poison(("k", 1))
    plan = parking(any_service, poison, parking={"max_attempts": 3})
    drain(plan, batch(*of_key("k", 1)))

    assert turns(plan) == 3
    assert parked_keys(any_service) == {b"k": ("dead", 3, 1)}
    assert plan.statistics.figures().dead == 1
    plan.deliver(batch(*of_key("k", 2), start=1))
    poison.fix()
    assert turns(plan) == 0
    assert parked_keys(any_service) == {b"k": ("dead", 3, 2)}

    set_key(any_service, state="retry", attempts=0, next_ms=0)
    turns(plan)
    assert any_service.effects() == [("k", 1), ("k", 2)]


def test_failures_are_put_off_on_the_databases_clock(any_service: Service) -> None:
    settings = {"back_off_initial_interval_ms": 60_000, "back_off_max_interval_ms": 90_000}
    plan = parking(any_service, Poison(("k", 1)), parking=settings)
    drain(plan, batch(*of_key("k", 1)))
    row = parked_key(any_service)
    assert row.next_ms - row.since_ms == 60_000
    assert not turn(plan)

    set_key(any_service, next_ms=0)
    assert turn(plan)
    row = parked_key(any_service)
    assert 89_000 < row.next_ms - row.updated_ms <= 90_000
    assert not turn(plan)


def test_an_error_text_that_databases_refuse_is_made_fit(any_service: Service) -> None:
    plan = parking(any_service, Poison(("k", 1), error=lambda: ValueError("a\x00b\ud800" + "x" * 5_000)))
    drain(plan, batch(*of_key("k", 1)))
    text = parked_key(any_service).error_text
    assert text.startswith("a?b?x")
    assert len(text) == 1024


def test_database_trouble_never_parks(any_service: Service) -> None:
    def away(event: Event, session: Session) -> None:
        raise OperationalError("", {}, Exception("database is locked"))

    plan = parking(any_service, away)
    for _ in range(5):
        assert isinstance(plan.deliver(mixed()).then, RetryAfter)
    assert parked_keys(any_service) == {}
    assert any_service.position() == 0


def test_database_trouble_uses_up_no_try_of_a_parked_key(any_service: Service) -> None:
    poison = Poison(("k", 1))
    plan = parking(any_service, poison)
    drain(plan, batch(*of_key("k", 1)))
    poison._error = lambda: OperationalError("", {}, Exception("database is locked"))

    assert turn(plan)
    assert any_service.effects() == []
    assert parked_keys(any_service) == {b"k": ("retry", 0, 1)}
    assert not turn(plan)  # It waits a while.


def test_what_has_no_key_is_parked_alone(any_service: Service) -> None:
    records = [record(event("x", n)) for n in (1, 2, 3)]
    poison = Poison(("x", 1), ("x", 2))
    plan = parking(any_service, poison)

    drain(plan, batch(*records))

    assert any_service.effects() == [("x", 3)]
    assert sorted(messages for _, _, messages in parked_keys(any_service).values()) == [1, 1]
    assert [row.record_key for row in parked_messages(any_service)] == [None, None]
    poison.events.remove(("x", 2))
    turn(plan)
    turn(plan)
    assert any_service.effects() == [("x", 3), ("x", 2)]


def test_a_key_longer_than_the_tables_keep_keeps_its_order(any_service: Service) -> None:
    key = "k" * (MAX_KEY_BYTES + 1)
    records = [record(event("long", n), key) for n in (1, 2)]
    poison = Poison(("long", 1))
    plan = parking(any_service, poison)

    drain(plan, batch(*records, record(event("long", 9), key[:-1])))

    assert any_service.effects() == [("long", 9)]
    assert [row.record_key for row in parked_messages(any_service)] == [key.encode()] * 2
    assert [len(key) for key in parked_keys(any_service)] == [32]
    poison.fix()
    turns(plan)
    assert any_service.effects() == [("long", 9), ("long", 1), ("long", 2)]


def test_keys_stay_parked_when_the_binding_no_longer_parks(any_service: Service) -> None:
    """What is parked keeps its order, whatever the configuration says by now."""
    poison = Poison(("k", 1))
    drain(parking(any_service, poison), batch(*of_key("k", 1)))
    plan = parking(any_service, poison, on_error="dlq", letters=Letters())

    plan.deliver(batch(*of_key("k", 2), *of_key("a", 1), start=1))
    assert any_service.effects() == [("a", 1)]
    poison.fix()
    turns(plan)
    assert any_service.effects() == [("a", 1), ("k", 1), ("k", 2)]


def test_another_group_and_destination_are_not_concerned(any_service: Service) -> None:
    drain(parking(any_service, Poison(("k", 1))), batch(*of_key("k", 1)))
    for column, value in (("group_name", "others"), ("destination", "other")):
        set_key(any_service, **{column: value})
        plan: Any = parking(any_service, keep)
        assert not turn(plan)
    assert plan.deliver(batch(*of_key("k", 1), start=1)) == Outcome(1, Continue())
    assert any_service.effects() == [("k", 1)]
