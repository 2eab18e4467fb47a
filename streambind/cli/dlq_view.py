"""Failed messages for people: grouped by cause, listed, and one in full."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType

from streambind.cli.dlq_desk import Desk, Item
from streambind.cli.output import line, table
from streambind.visible import is_text, visible

_TEXT = 80
_SHOWN = 64 * 1024


@dataclass(slots=True)
class Group:
    """Items of one binding that failed for the same cause. Times are None if nothing tells them. `example`: what
    the first one says."""

    binding: str
    state: str
    error: str
    example: str
    number: int = 0
    oldest_ms: int | None = None
    newest_ms: int | None = None

    def add(self, item: Item) -> None:
        self.number += 1
        failed = item.failed_ms
        if failed is not None:
            self.oldest_ms = failed if self.oldest_ms is None else min(self.oldest_ms, failed)
            self.newest_ms = failed if self.newest_ms is None else max(self.newest_ms, failed)


def groups(found: Iterable[tuple[Desk, Item]]) -> list[Group]:
    """By binding, state and exception; the largest first."""
    by_cause: dict[tuple[str, str, str], Group] = {}
    for desk, item in found:
        cause = (desk.name, item.state, item.error)
        if cause not in by_cause:
            by_cause[cause] = Group(*cause, example=item.text)
        by_cause[cause].add(item)
    return sorted(by_cause.values(), key=lambda group: (-group.number, group.binding, group.error))


def group_table(made: Sequence[Group]) -> RenderableType:
    columns = ("binding", "state", "messages", "exception", "oldest", "newest", "for example")
    return table(columns, [_group_row(group) for group in made])


def group_documents(made: Sequence[Group]) -> list[dict[str, Any]]:
    return [
        {
            "binding": group.binding,
            "state": group.state,
            "error": group.error,
            "count": group.number,
            "oldest_ms": group.oldest_ms,
            "newest_ms": group.newest_ms,
            "example": group.example,
        }
        for group in made
    ]


def item_table(found: Iterable[tuple[Desk, Item]]) -> RenderableType:
    columns = ("id", "binding", "state", "key", "from", "failed", "exception")
    rows = [
        (item.id, desk.name, item.state, item.message.key, place(item), moment(item.failed_ms), _why(item))
        for desk, item in found
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
    text = group.example
    short = text if len(text) <= _TEXT else f"{text[: _TEXT - 3]}..."
    oldest, newest = moment(group.oldest_ms), moment(group.newest_ms)
    return [group.binding, group.state, group.number, group.error, oldest, newest, short]


def _size(payload: bytes | None) -> str:
    return "null (a tombstone)" if payload is None else f"{len(payload)} bytes"


def _payload(payload: bytes) -> str:
    shown = payload[:_SHOWN]
    text = shown.decode() if is_text(shown) else visible(shown)
    return (
        text if len(payload) <= _SHOWN else f"{text}\n... ({len(payload) - _SHOWN} bytes more; export shows all)"
    )
