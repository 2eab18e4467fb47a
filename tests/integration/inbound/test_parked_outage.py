"""What handlers need is away for long: parked keys outlast it, and the log stays readable."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from sqlalchemy.orm import Session

from streambind.binding.outcome import Continue
from tests.integration.inbound.parking import batch, of_key, parked_keys, parking, set_key, turn, turns
from tests.integration.inbound.service import Event, Service, drain, keep
from tests.unit.inbound.batches import Record

KEYS = ("a", "b", "c")


class Outage:
    """A handler that fails at some keys, until what it needs is there."""

    is_over = False

    def __call__(self, event: Event, session: Session) -> None:
        keep(event, session)
        session.flush()
        if event.key in KEYS and not self.is_over:
            raise ConnectionError("the other service is away")


def park_all(service: Service, outage: Outage) -> None:
    """By an instance that does not mind so many."""
    drain(parking(service, outage), batch(*(record for key in KEYS for record in of_key(key, 1))))
    assert len(parked_keys(service)) == len(KEYS)


def let_time_pass(service: Service) -> None:
    """All keys are due, in the order in which they would be."""
    set_key(service, next_ms=service.database.tables.parked_key.c.next_ms - 10**7)


def test_an_outage_that_is_longer_than_all_tries_leaves_no_key_dead(any_service: Service) -> None:
    outage = Outage()
    park_all(any_service, outage)
    plan = parking(any_service, outage, parking={"max_attempts": 3, "mass_failure_keys": 3})

    for _ in range(20):
        let_time_pass(any_service)
        assert turn(plan)

    states = parked_keys(any_service)
    assert {state for state, _, _ in states.values()} == {"retry"}
    assert sum(attempts for _, attempts, _ in states.values()) == 2, "those until the third key had failed"
    outage.is_over = True
    let_time_pass(any_service)
    turns(plan)
    assert sorted(any_service.effects()) == [("a", 1), ("b", 1), ("c", 1)]


def test_tries_count_while_other_messages_are_handled(any_service: Service) -> None:
    outage = Outage()
    park_all(any_service, outage)
    plan = parking(any_service, outage, parking={"max_attempts": 3, "mass_failure_keys": 3})

    for number in range(1, 10):
        drain(plan, batch(*of_key("well", number), start=number - 1, partition=1))
        assert turn(plan)

    assert parked_keys(any_service) == {key.encode(): ("dead", 3, 1) for key in KEYS}


def test_a_gap_that_is_given_up_is_said_once_however_many_messages_come_after_it(
    any_service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    plan = parking(any_service, parking={"gap_timeout_ms": 0})
    with caplog.at_level(logging.WARNING):
        drain(plan, batch(*of_key("k", 1, 3)))
        turns(plan)
        for number in range(4, 10):
            drain(plan, batch(*of_key("k", number), start=number - 2))
            assert turns(plan) == 1

    assert parked_keys(any_service) == {b"k": ("dead", 0, 7)}
    assert caplog.text.count("its key is dead") == 1


def test_garbage_is_parked_at_once_and_dies_and_holds_up_nobody(any_service: Service) -> None:
    """Any number of records that cannot be decoded, without a key: the partition makes no pause."""
    garbage = [Record(b"\xff garbage") for _ in range(30)]
    settings: dict[str, Any] = {"mass_failure_keys": 10, "mass_failure_share": 0.0, "max_attempts": 2}
    plan = parking(any_service, parking=settings)

    outcomes = drain(plan, batch(*garbage, *of_key("good", 1)))

    assert all(isinstance(outcome.then, Continue) for outcome in outcomes)
    assert any_service.effects() == [("good", 1)]
    turns(plan)
    assert {state for state, _, _ in parked_keys(any_service).values()} == {"dead"}


def test_many_handled_messages_make_some_failing_keys_no_outage(any_service: Service) -> None:
    plan = parking(any_service, Outage(), parking={"mass_failure_keys": 3, "mass_failure_share": 0.5})
    drain(plan, batch(*of_key("well", *range(1, 11))))

    records = [record for key in KEYS for record in of_key(key, 1)]
    outcomes = drain(plan, batch(*records, start=10))

    assert all(isinstance(outcome.then, Continue) for outcome in outcomes)
    assert len(parked_keys(any_service)) == len(KEYS)
