"""`consumer.on-error-of` holds for messages that waited behind a parked key as for all others."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from streambind.errors import PermanentError
from streambind.inbound.input import InputPlan
from streambind.inbound.letter import read_letter
from tests.integration.inbound.parking import (
    batch,
    of_key,
    parked_key,
    parked_keys,
    parking_settings,
    plain,
    turns,
)
from tests.integration.inbound.service import Event, Letters, Service, drain, keep
from tests.unit.inbound.batches import Record


class Rubbish(ValueError):
    """What the second event of each key is."""


class Handler:
    """Fails at the first event until it is mended, and at the second for good."""

    def __init__(self, error: type[Exception] = Rubbish) -> None:
        self.is_mended = False
        self.tried: list[int] = []
        self._error = error

    def __call__(self, event: Event, session: Session) -> None:
        self.tried.append(event.number)
        keep(event, session)
        session.flush()
        if event.number == 1 and not self.is_mended:
            raise RuntimeError("outage")
        if event.number == 2:
            raise self._error("known rubbish")


def planned(service: Service, handler: Handler, choice: str, **settings: Any) -> InputPlan:
    given = parking_settings(on_error_of={"Rubbish": choice}, parking={"max_attempts": 4}, **settings)
    return service.plan(service.listener(handler), **given)


def drained(service: Service, plan: InputPlan, handler: Handler, *records: Record) -> None:
    drain(plan, batch(*records))
    handler.is_mended = True
    turns(plan)


@pytest.mark.parametrize("records", [of_key("k", 1, 2, 3), plain("k", 1, 2, 3)], ids=["numbered", "plain"])
def test_what_is_to_be_skipped_is_and_the_key_goes_on(any_service: Service, records: list[Record]) -> None:
    handler = Handler()
    plan = planned(any_service, handler, "skip")
    drained(any_service, plan, handler, *records)

    assert any_service.effects() == [("k", 1), ("k", 3)]
    assert parked_keys(any_service) == {}
    assert handler.tried == [1, 1, 2, 3]
    assert plan.statistics.figures().skipped == 1
    assert "known rubbish" in (plan.statistics.figures().last_error or "")


def test_what_is_to_be_dead_lettered_is_in_the_same_transaction(any_service: Service) -> None:
    handler, letters = Handler(), Letters()
    plan = planned(any_service, handler, "dlq", letters=letters)
    drained(any_service, plan, handler, *of_key("k", 1, 2, 3))

    assert any_service.effects() == [("k", 1), ("k", 3)]
    assert parked_keys(any_service) == {}
    assert any_service.guarded() == {b"k": (1, 3)}
    [letter] = map(read_letter, letters.sent)
    assert (letter.message.partition, letter.message.offset, letter.attempts) == (0, 1, 1)
    assert "Rubbish" in (letter.cause.name or "")
    assert plan.statistics.figures().dead_lettered == 1


def test_the_tries_that_the_binding_allows_come_first(any_service: Service) -> None:
    handler = Handler()
    plan = planned(any_service, handler, "skip", max_attempts=3, back_off_initial_interval_ms=1)
    drained(any_service, plan, handler, *of_key("k", 1, 2, 3))

    assert handler.tried[-4:] == [2, 2, 2, 3]
    assert any_service.effects() == [("k", 1), ("k", 3)]


@pytest.mark.parametrize("choice", ["park", "stop"])
def test_else_a_parked_key_waits_for_a_person(any_service: Service, choice: str) -> None:
    handler = Handler()
    drained(any_service, planned(any_service, handler, choice), handler, *of_key("k", 1, 2, 3))

    assert parked_keys(any_service) == {b"k": ("dead", 4, 2)}
    assert "Rubbish" in parked_key(any_service).error_class


def test_what_nothing_is_said_of_waits_whatever_on_error_says(any_service: Service) -> None:
    """It was parked by somebody who wants it handled: an earlier setting, or `streambind dlq retry`."""
    handler = Handler(PermanentError)
    drain(planned(any_service, handler, "skip"), batch(*of_key("k", 1, 2)))
    handler.is_mended = True
    later = planned(any_service, handler, "skip", on_error="skip", adopt=None)
    turns(later)

    assert parked_keys(any_service) == {b"k": ("dead", 4, 1)}
