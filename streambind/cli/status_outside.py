"""What can be told of an application without asking it: from its database and its broker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from streambind.cli.bindings import behind_of, lag_text, live_document
from streambind.cli.freshness import with_freshness
from streambind.cli.outbox_view import ask_outbox, outbox_document, outbox_lines, owners
from streambind.cli.output import count, line, table
from streambind.cli.parked_view import parked_reasons
from streambind.cli.plan import PlannedBinding, planned_bindings
from streambind.cli.progress import Progress, measured
from streambind.cli.standing import standing
from streambind.cli.status_screen import verdict
from streambind.cli.target import Target, resolve
from streambind.configuration.properties import Publish
from streambind.errors import SchemaError
from streambind.outbound.outbox_status import OutboxStatus


@dataclass(frozen=True)
class Outside:
    """One look. `outbox` is None where the service has none, or where `tables` says why it cannot be read;
    `standing` says which partitions do not go on, `parked` which inputs have parked keys."""

    title: str
    inputs: tuple[Progress, ...]
    outbox: OutboxStatus | None
    tables: str | None = None
    standing: tuple[str, ...] = ()
    parked: tuple[str, ...] = ()

    @property
    def reasons(self) -> list[str]:
        """What is not as it should be."""
        found = [] if self.tables is None else [self.tables]
        if self.outbox is not None and self.outbox.blocked:
            found.append(f"{count(len(self.outbox.blocked), 'key')} blocked")
        if self.outbox is not None and self.outbox.backlog and not owners(self.outbox):
            found.append("messages wait and nobody relays")
        found += [f"no destination {name}" for measure in self.inputs for name in measure.missing]
        return [*found, *self._lost, *self.standing, *self.parked]

    @property
    def _lost(self) -> list[str]:
        return [lane.lost for measure in self.inputs for lane in measure.lanes if lane.lost is not None]

    @property
    def word(self) -> str:
        if self.tables or self._lost or (self.outbox is not None and self.outbox.blocked):
            return "down"
        return "degraded" if self.reasons else "up"

    def document(self) -> dict[str, Any]:
        return {
            "status": self.word,
            "reasons": self.reasons,
            "inputs": [
                {"name": p.binding.name, "group": p.binding.group, **live_document(p)} for p in self.inputs
            ],
            "outbox": None if self.outbox is None else outbox_document(self.outbox),
        }

    def screen(self) -> RenderableType:
        said = f"{self.title}, seen from outside"
        parts: list[RenderableType] = [verdict(self.word, ": ".join([said, *self.reasons[:1]]))]
        parts += [line("      {}", reason) for reason in self.reasons[1:]]
        if self.inputs:
            rows = [_row(measure) for measure in self.inputs]
            parts += [Text(), table(("input", "destination", "group", "lag", "behind", "counted from"), rows)]
        if self.outbox is not None:
            parts += [Text(), *outbox_lines(self.outbox)]
        return Group(*parts)


def _row(measure: Progress) -> list[object]:
    source = "database" if measure.by_database else "committed offsets"
    binding = measure.binding
    return [
        binding.name,
        ", ".join(binding.destinations),
        binding.group,
        lag_text(measure),
        behind_of(measure),
        source,
    ]


def outside(text: str) -> Callable[[], Outside]:
    """Reads the target once; what is returned looks whenever it is called.

    Raises:
        StreambindError: there is no such target, or it is misconfigured.
    """
    target = resolve(text)
    planned = planned_bindings(target)
    inputs = [binding for binding in planned if binding.is_input]

    def look() -> Outside:
        measures = tuple(with_freshness(target, measured(target, inputs)))
        outbox, tables = _outbox(target, planned)
        parked = () if tables else tuple(parked_reasons(target, inputs))
        return Outside(text, measures, outbox, tables, tuple(standing(target, measures)), parked)

    return look


def _outbox(target: Target, planned: list[PlannedBinding]) -> tuple[OutboxStatus | None, str | None]:
    """The outbox, None if nothing goes through it; and what is wrong with the tables, if they are needed: for it,
    or for what the application's code asks for."""
    needed = target.application is not None and target.application.blueprint.needs_tables
    outputs = any(not binding.is_input and binding.mode == Publish.OUTBOX for binding in planned)
    if not target.has_database or not (needed or outputs):
        return None, None
    try:
        found = ask_outbox(target)
    except SchemaError as error:
        return None, str(error)
    return (found if outputs else None), None
