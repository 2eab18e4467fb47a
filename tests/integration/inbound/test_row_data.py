"""What messages and rows hold is nobody's business who reads the log or a dead letter's headers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from streambind.inbound.input import InputPlan
from tests.integration.inbound.service import Event, Letters, Service, Thing, drain, event
from tests.unit.inbound.batches import ListBatch, Record, record

SECRET = "Mallory-123-45"


class Strict(BaseModel):
    owner: Literal["nobody"]


class Sign(BaseModel):
    value: int


def reads_payload(event: Event, session: Session) -> None:
    raise AssertionError("it cannot be decoded")


def validates(event: Event, session: Session) -> None:
    Strict.model_validate({"owner": event.key})


def wraps(event: Event, session: Session) -> None:
    try:
        Sign.model_validate({"value": event.key})
    except ValueError as error:
        raise RuntimeError("the handler gave up") from error


def violates(event: Event, session: Session) -> None:
    session.add_all([Thing(id=1, name=event.key), Thing(id=2, name=event.key)])
    session.flush()


def unwraps(event: Event, session: Session) -> None:
    try:
        violates(event, session)
    except IntegrityError as error:
        raise RuntimeError("the handler gave up") from error.orig


@pytest.mark.parametrize(
    ("handler", "rec", "told"),
    [
        (reads_payload, record({"key": "k", "number": SECRET}), "number: Input should be a valid integer"),
        (reads_payload, record(SECRET.encode()), "the payload cannot be read as Event: Invalid JSON"),
        (validates, record(event(SECRET, 1)), "owner: Input should be 'nobody'"),
        (wraps, record(event(SECRET, 1)), "value: Input should be a valid integer"),
        (violates, record(event(SECRET, 1)), "IntegrityError"),
        (unwraps, record(event(SECRET, 1)), "the handler gave up"),
    ],
)
@pytest.mark.parametrize("on_error", ["dlq", "stop"])
def test_values_stay_out_of_log_and_headers(
    service: Service,
    caplog: pytest.LogCaptureFixture,
    handler: Callable[[Event, Session], None],
    rec: Record,
    told: str,
    on_error: str,
) -> None:
    service.database.engine.hide_parameters = False  # As an engine of the service's own is.
    letters = Letters()
    plan: InputPlan = service.keeping(handler, letters=letters, max_attempts=2, on_error=on_error)

    drain(plan, ListBatch([rec]))

    assert told in caplog.text
    assert SECRET not in caplog.text
    assert SECRET not in (plan.statistics.figures().last_error or "")
    headers = [value or b"" for letter in letters.sent for _, value in letter.raw_headers]
    assert len(letters.sent) == (1 if on_error == "dlq" else 0)
    assert not any(SECRET.encode() in value for value in headers)
    assert not letters.sent or any(told.encode() in value for value in headers)
