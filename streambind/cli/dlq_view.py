"""Failed messages for people: grouped by cause, listed, and one in full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType

from streambind.cli.dlq_desk import Desk, Item
from streambind.cli.output import line, table
from streambind.visible import is_text, visible

_TEXT = 80
_SHOWN = 64 * 1024


@dataclass(frozen=True, slots=True)
class Group:
    """Items of one binding that failed for the same cause. Times are None if nothing tells them."""

    binding: str
    state: str
    error: str
    items: tuple[Item, ...]

    @property
    def times(self) -> tuple[int | None, int | None]:
        known = [item.failed_ms for item in self.items if item.failed_ms is not None]
        return (min(known), max(known)) if known else (None, None)


def groups(found: Sequence[tuple[Desk, list[Item]]]) -> list[Group]:
    """By binding, state and exception; the largest first."""
    by_cause: dict[tuple[str, str, str], list[Item]] = {}
    for desk, items in found:
        for item in items:
            by_cause.setdefault((desk.name, item.state, item.error), []).append(item)
    made = [Group(*cause, tuple(items)) for cause, items in by_cause.items()]
    return sorted(made, key=lambda group: (-len(group.items), group.binding, group.error))


def group_table(made: Sequence[Group]) -> RenderableType:
    columns = ("binding", "state", "messages", "exception", "oldest", "newest", "for example")
    return table(columns, [_group_row(group) for group in made])


def group_documents(made: Sequence[Group]) -> list[dict[str, Any]]:
    return [
        {
            "binding": group.binding,
            "state": group.state,
            "error": group.error,
            "count": len(group.items),
            "oldest_ms": group.times[0],
            "newest_ms": group.times[1],
            "example": group.items[0].text,
        }
        for group in made
    ]


def item_table(found: Sequence[tuple[Desk, list[Item]]]) -> RenderableType:
    columns = ("id", "binding", "state", "key", "from", "failed", "exception")
    rows = [
        (item.id, desk.name, item.state, item.message.key, place(item), moment(item.failed_ms), _why(item))
        for desk, items in found
        for item in items
    ]
    return table(columns, rows)


def item_lines(desk: Desk, item: Item) -> Iterator[RenderableType]:
    """One item in full."""
    came = item.message
    yield line("[bold]{}[/]  {} of {}", item.id, item.state, desk.name)
    yield line("came from   {}", place(item))
    yield line("key         {}", "none" if came.key is None else came.key)
    if item.attempts is not None:
        yield line("attempts    {}", item.attempts)
    yield line("failed      {}", moment(item.failed_ms))
    if item.behind is not None:
        yield line("waiting     behind {}, which failed", item.behind)
    yield line("exception   {}: {}", item.error, item.text, lines=True)
    if item.letter is not None and item.letter.cause.stack_trace:
        yield line("{}", item.letter.cause.stack_trace.rstrip(), lines=True)
    yield line("headers")
    for name, value in came.raw_headers:
        yield line("  {} = {}", name, "null" if value is None else value)
    yield line("payload     {}", _size(came.payload))
    if came.payload:
        yield line("{}", _payload(came.payload), lines=True)


def _why(item: Item) -> str:
    return item.error if item.behind is None else f"waiting behind {item.behind}"


def place(item: Item) -> str:
    came = item.message
    return "unknown" if came.destination is None else f"{came.destination}[{came.partition}]@{came.offset}"


def moment(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "unknown"
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(milliseconds)


def _group_row(group: Group) -> list[object]:
    text = group.items[0].text
    short = text if len(text) <= _TEXT else f"{text[: _TEXT - 3]}..."
    oldest, newest = (moment(at) for at in group.times)
    return [group.binding, group.state, len(group.items), group.error, oldest, newest, short]


def _size(payload: bytes | None) -> str:
    return "null (a tombstone)" if payload is None else f"{len(payload)} bytes"


def _payload(payload: bytes) -> str:
    shown = payload[:_SHOWN]
    text = shown.decode() if is_text(shown) else visible(shown)
    return (
        text if len(payload) <= _SHOWN else f"{text}\n... ({len(payload) - _SHOWN} bytes more; export shows all)"
    )
