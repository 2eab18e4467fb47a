"""Which listeners are called, in which order, and what they return."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import pytest
from sqlalchemy.orm import Session

from streambind.binding.outcome import Continue, Outcome, RetryAfter, Stop
from streambind.configuration.finding import Severity
from streambind.failpoints import FailpointError
from streambind.inbound import delivery_broker, dispatcher
from streambind.inbound.listener import Header, stream_listener
from streambind.message import Message
from tests.unit.inbound.batches import ListBatch, batch_of, record
from tests.unit.inbound.planning import Seen, mistakes, plan

seen = Seen()


@pytest.fixture(autouse=True)
def _empty() -> None:
    seen.clear()


def listener(name: str, condition: Any = None) -> Callable[..., Any]:
    @stream_listener("in-things", condition=condition)
    def handle(event: dict[str, Any]) -> None:
        seen.append((name, event.get("n")))

    return handle


def test_every_listener_whose_condition_holds_is_called_in_order() -> None:
    inputs = plan(
        listener("always"),
        listener("by text", "headers['type'] == 'X'"),
        listener("never", "headers['type'] == 'Z'"),
        listener("by function", lambda message: message.headers["type"] == "X"),
        listener("by payload", "payload.n == 1"),
    )

    inputs.deliver(ListBatch([record({"n": 1}, type="X"), record({"n": 2}, type="Y")]))

    assert seen == [("always", 1), ("by text", 1), ("by function", 1), ("by payload", 1), ("always", 2)]


def test_a_message_that_nobody_wants_is_handled_counted_and_mentioned_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inputs = plan(listener("x", "headers['type'] == 'X'"))

    with caplog.at_level(logging.WARNING, logger="streambind"):
        assert inputs.deliver(batch_of({}, {}, {})) == Outcome(3, Continue())

    assert inputs.statistics.figures().unmatched == 3
    assert [r.message for r in caplog.records] == [
        "in-things: no listener's condition holds for things[0]@0; it counts as handled (said once a minute)"
    ]


def test_what_nobody_wants_is_counted_once_however_often_its_batch_is_tried() -> None:
    tries = iter([ValueError("not yet"), ValueError("not yet"), None])

    def fails_twice(message: Message) -> None:
        if error := next(tries):
            raise error

    marked = stream_listener("in-things", condition="headers['type'] == 'X'")(fails_twice)
    inputs = plan(marked, max_attempts=3)
    rest: ListBatch | None = ListBatch([record({}, type="Y"), record({}, type="X"), record({}, type="Y")])
    while rest is not None:
        rest = rest.after(inputs.deliver(rest).done)

    assert inputs.statistics.figures().retried == 2
    assert inputs.statistics.figures().unmatched == 2


def test_a_condition_that_raises_fails_the_message() -> None:
    outcome = plan(listener("x", lambda message: message.headers["absent"] == 1)).deliver(batch_of({}))

    assert isinstance(outcome.then, Stop)
    assert "KeyError" in str(outcome.then.error)


def test_a_condition_on_a_payload_that_is_no_json_fails_the_message() -> None:
    outcome = plan(listener("x", "payload.n == 1")).deliver(batch_of(b"{no"))

    assert isinstance(outcome.then, Stop)
    assert "an expression reads the payload, which is not JSON" in str(outcome.then.error)


def test_a_condition_that_is_no_expression_is_a_mistake_with_place() -> None:
    text = mistakes(listener("x", "payload.n > 1"))

    assert "expression 'payload.n > 1', column 11: '>' is not part of an expression" in text
    assert f"{Path(__file__).relative_to(Path.cwd())}:" in text


# Batch listeners


def takes_batch(events: list[dict[str, Any]], messages: list[Message]) -> None:
    seen.append(([event["n"] for event in events], [message.offset for message in messages]))


def takes_batch_of_known(events: list[dict[str, Any] | None]) -> None:
    seen.append(events)


def test_a_batch_listener_is_called_once_with_all_messages() -> None:
    assert plan(takes_batch).deliver(batch_of({"n": 1}, {"n": 2}, {"n": 3}, start=7)).done == 3
    assert seen == [([1, 2, 3], [7, 8, 9])]


def test_a_batch_listener_gets_what_its_condition_lets_through() -> None:
    marked = stream_listener("in-things", condition="payload.n != 2")(functools.partial(takes_batch))

    inputs = plan(marked)

    assert inputs.deliver(batch_of({"n": 1}, {"n": 2}, {"n": 3})).done == 3
    assert seen == [([1, 3], [0, 2])]
    assert inputs.statistics.figures().unmatched == 1


def test_the_message_that_a_batch_cannot_decode_is_found_without_a_call_for_it() -> None:
    inputs = plan(takes_batch, on_error="skip")

    assert inputs.deliver(batch_of({"n": 1}, b"{no", {"n": 3})) == Outcome(2, Continue())
    assert seen == [([1], [0])]


def test_tombstones_in_batches_follow_the_same_rule() -> None:
    assert plan(takes_batch_of_known).deliver(batch_of({}, None)).done == 2
    assert seen == [[{}, None]]

    outcome = plan(takes_batch).deliver(batch_of({"n": 1}, None))
    assert isinstance(outcome.then, Stop)
    assert outcome.done == 1


def fails_on_two(events: list[dict[str, Any]]) -> None:
    seen.append([event["n"] for event in events])
    if any(event["n"] == 2 for event in events):
        raise ValueError("two")


def test_a_batch_that_fails_is_done_again_one_by_one_up_to_the_message_that_fails() -> None:
    outcome = plan(fails_on_two).deliver(batch_of({"n": 1}, {"n": 2}, {"n": 3}))

    assert (outcome.done, type(outcome.then)) == (1, RetryAfter)
    assert seen == [[1, 2, 3], [1], [2]]


# What async and def mean


async def handles_async(event: dict[str, Any]) -> None:
    seen.append(event["n"])


def test_async_listeners_run_in_order_too() -> None:
    assert plan(handles_async, handles_async).deliver(batch_of({"n": 1}, {"n": 2})).done == 2
    assert seen == [1, 1, 2, 2]


def hides(function: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


def takes_header_too(event: dict[str, Any], kind: Annotated[str | None, Header("type")]) -> None: ...


@pytest.mark.parametrize("others", [[], [takes_header_too]])
def test_a_coroutine_that_nobody_would_await_is_noticed(others: list[Callable[..., Any]]) -> None:
    outcome = plan(hides(handles_async), *others).deliver(batch_of({"n": 1}))

    assert isinstance(outcome.then, Stop)
    assert "returned an awaitable although it is no async def" in str(outcome.then.error)
    assert seen == []


# What does not go together


async def takes_async(event: dict[str, Any]) -> None: ...


def takes_sync(event: dict[str, Any]) -> None: ...


def test_def_and_async_def_do_not_share_a_binding() -> None:
    text = mistakes(takes_sync, takes_async)

    assert "listener takes_async: def and async def both listen to in-things" in text


def test_batch_and_single_listeners_do_not_share_a_binding() -> None:
    text = mistakes(takes_sync, fails_on_two)

    assert "listener fails_on_two: it takes batches from in-things, another listener single messages" in text


def test_dead_letters_need_a_destination() -> None:
    assert "set enableDlq: true" in mistakes(takes_sync, on_error="dlq")
    [finding] = plan(takes_sync, replay=True).findings
    assert "set enableDlq: true" in finding.text


def test_a_session_needs_a_database() -> None:
    def stores(event: str, session: Session) -> None: ...

    text = mistakes(stores, group="g")
    assert "it takes Session, but the application has no database" in text


def test_all_mistakes_come_at_once() -> None:
    assert len(mistakes(takes_sync, takes_async, fails_on_two, on_error="dlq").splitlines()) == 3


async def always(message: Message) -> bool:
    return False


def test_an_async_condition_is_a_mistake() -> None:
    assert "its condition is an async def" in mistakes(listener("x", always))


def test_exceptions_of_another_language_are_pointed_out() -> None:
    inputs = plan(takes_sync, retryable_exceptions={"java.lang.IllegalStateException": False, "ValueError": False})

    (finding,) = inputs.findings
    assert "retryableExceptions names 'java.lang.IllegalStateException'" in str(finding)
    assert finding.severity is Severity.WARNING


@pytest.mark.parametrize("listener", [takes_sync, takes_async, takes_header_too])
def test_a_crash_after_a_handler_leaves_its_message_to_come_again(
    listener: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(name: str) -> None:
        if name == "delivery.in_handler":
            raise FailpointError(name)

    monkeypatch.setattr(dispatcher, "failpoint", crash)
    monkeypatch.setattr(delivery_broker, "failpoint", crash)

    for batch in (batch_of({}), batch_of({}, {})):
        with pytest.raises(FailpointError):
            plan(listener).deliver(batch)
