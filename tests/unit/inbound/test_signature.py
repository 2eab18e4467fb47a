"""Wrong arguments are found when bindings are planned, each with function, place and remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from streambind.inbound.listener import Header
from streambind.inbound.signature import Kind, Signature, read_signature
from streambind.message import Message

if TYPE_CHECKING:
    from decimal import Decimal


def right(
    event: dict[str, Any],
    message: Message,
    kind: Annotated[str, Header("type")],
    trace: Annotated[str | None, Header],
    session: Session,
    *,
    attempt: Annotated[int, Header("attempt")] = 1,
) -> list[str]:
    return []


async def right_async(events: list[str], messages: list[Message], session: AsyncSession) -> None: ...


def test_arguments_are_told_apart_by_annotation() -> None:
    signature = read_signature(right)

    assert signature.mistakes == []
    assert [(a.name, a.kind, a.header, a.keyword_only) for a in signature.arguments] == [
        ("event", Kind.PAYLOAD, "", False),
        ("message", Kind.MESSAGE, "", False),
        ("kind", Kind.HEADER, "type", False),
        ("trace", Kind.HEADER, "trace", False),
        ("session", Kind.SESSION, "", False),
        ("attempt", Kind.HEADER, "attempt", True),
    ]
    assert (signature.is_async, signature.is_batch, signature.returns_several) == (False, False, True)


def test_a_batch_listener_takes_lists() -> None:
    signature = read_signature(right_async)

    assert signature.mistakes == []
    assert [(a.kind, a.annotation) for a in signature.arguments] == [
        (Kind.PAYLOADS, str),
        (Kind.MESSAGES, Message),
        (Kind.SESSION, AsyncSession),
    ]
    assert (signature.is_async, signature.is_batch) == (True, True)


def unannotated(event) -> None: ...  # type: ignore[no-untyped-def]


def two_payloads(event: dict[str, Any], other: str) -> None: ...


def two_sessions(one: Session, two: Session) -> None: ...


async def async_with_session(event: str, session: Session) -> None: ...


def def_with_async_session(event: str, session: AsyncSession) -> None: ...


def optional_session(event: str, session: Session | None = None) -> None: ...


def unresolvable(amount: Decimal) -> None: ...


def bare_list(events: list) -> None: ...  # type: ignore[type-arg]


def batch_and_single(events: list[str], message: Message) -> None: ...


def batch_and_header(events: list[str], kind: Annotated[str, Header("type")]) -> None: ...


def starred(*args: str) -> None: ...


def named(event: str, **rest: str) -> None: ...


def generator(event: str) -> Iterator[str]:
    yield event


class Base(DeclarativeBase): ...


class OrderLine(Base):
    __tablename__ = "order_line"
    id: Mapped[int] = mapped_column(primary_key=True)


def entity(line: OrderLine) -> None: ...


def entities(lines: list[OrderLine]) -> None: ...


def entity_or_null(line: OrderLine | None) -> None: ...


class Methods:
    def handle(self, event: str) -> None: ...


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (unannotated, "argument 'event' has no annotation; annotate the event's type"),
        (two_payloads, "arguments 'event' and 'other' both take the payload"),
        (two_sessions, "arguments 'one' and 'two' both take the session"),
        (async_with_session, "argument 'session': an async def takes AsyncSession"),
        (def_with_async_session, "argument 'session': a def takes Session"),
        (optional_session, "argument 'session': a session is always given; annotate Session alone"),
        (unresolvable, "name 'Decimal' is not defined. Import the name at run time, not under TYPE_CHECKING"),
        (bare_list, "argument 'events': write list[X] for a batch of X"),
        (batch_and_single, "argument 'message' is of one message, but the listener takes batches"),
        (batch_and_header, "argument 'kind' is of one message, but the listener takes batches"),
        (starred, "argument *args cannot be filled"),
        (named, "argument *rest cannot be filled"),
        (generator, "it is a generator"),
        (entity, "argument 'line': OrderLine is an entity; take an event class"),
        (entities, "argument 'lines': OrderLine is an entity; take an event class"),
        (entity_or_null, "argument 'line': OrderLine is an entity; take an event class"),
        (Methods.handle, "a method: include an instance of its class, not the class"),
    ],
)
def test_a_mistake_names_function_place_and_remedy(function: Callable[..., Any], text: str) -> None:
    mistakes = read_signature(function).mistakes

    assert len(mistakes) == 1
    finding = str(mistakes[0])
    assert f"listener {function.__qualname__}: " in finding
    assert text in finding
    assert f"{Path(__file__).relative_to(Path.cwd())}:{function.__code__.co_firstlineno}:1  error" in finding


def test_all_mistakes_are_told_at_once() -> None:
    def many(a, *b: str) -> None: ...  # type: ignore[no-untyped-def]

    assert len(read_signature(many).mistakes) == 2


def test_a_bound_method_and_an_object_are_read_like_functions() -> None:
    class Called:
        async def __call__(self, event: str) -> None: ...

    bound, called = read_signature(Methods().handle), read_signature(Called())

    assert [_names(bound), _names(called)] == [["event"], ["event"]]
    assert (bound.is_async, called.is_async) == (False, True)


def _names(signature: Signature) -> list[str]:
    assert signature.mistakes == []
    return [argument.name for argument in signature.arguments]
