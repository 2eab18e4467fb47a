"""Trouble of database and broker, wherever in a handler it came from."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import OperationalError

from streambind.binding.outcome import RetryAfter
from streambind.errors import (
    BrokerUnavailableError,
    CaptureError,
    OutboxFullError,
    SchemaError,
    SendError,
    SendUnconfirmed,
)
from streambind.inbound.nobodys_fault import is_nobodys_fault
from tests.unit.inbound.batches import batch_of
from tests.unit.inbound.planning import plan


class _Timeout(Exception):
    sqlstate = "57014"


def _wrapped(error: Exception) -> Exception:
    try:
        raise RuntimeError("the handler gave up") from error
    except RuntimeError as wrapped:
        return wrapped


TROUBLE = [
    OutboxFullError("full"),
    SchemaError("no such table"),
    SendUnconfirmed("no report"),
    SendError("away"),
    BrokerUnavailableError("away"),
    _wrapped(SendUnconfirmed("no report")),
]


@pytest.mark.parametrize("error", TROUBLE, ids=lambda error: type(error).__name__)
def test_what_passes_by_itself_is_no_messages_fault(error: Exception) -> None:
    assert is_nobodys_fault(error)


@pytest.mark.parametrize(
    "error",
    [
        SendError("refused", permanent=True),
        CaptureError("no such output"),
        ValueError("x"),
        OperationalError("SELECT", {}, _Timeout("canceling statement")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_does_not_is(error: Exception) -> None:
    assert not is_nobodys_fault(error)


@pytest.mark.parametrize("error", TROUBLE, ids=lambda error: type(error).__name__)
def test_a_message_that_meets_it_is_tried_without_end(error: Exception) -> None:
    def listener(payload: dict[str, int]) -> None:
        raise error

    inputs = plan(listener, on_error="skip", max_attempts=1)
    for _ in range(5):
        outcome = inputs.deliver(batch_of({}))
        assert outcome.done == 0
        assert isinstance(outcome.then, RetryAfter)
