"""Whether a history keeps the promises: every committed change has one effect, in order, and nothing else has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Change(NamedTuple):
    """One change of one item, by a label that no other change of that item has."""

    item: int
    label: str


class Kind(StrEnum):
    """What is broken. `half`: effects of one event that belong together were not made together."""

    LOST = "lost"
    TWICE = "twice"
    INVENTED = "invented"
    ORDER = "order"
    HALF = "half"
    COPY = "copy"
    UNSENT = "unsent"


@dataclass(frozen=True, slots=True)
class Violation:
    kind: Kind
    text: str


@dataclass(frozen=True)
class History:
    """What both databases say when all is drained.

    `committed` and `effects` are in order; `counters` are the effects per item, counted one by one; `source` and
    `copy` are the items as they stand; `outbox` is how many messages still wait.
    """

    committed: Sequence[Change]
    effects: Sequence[Change]
    counters: Mapping[int, int] = field(default_factory=dict)
    source: Mapping[int, int] = field(default_factory=dict)
    copy: Mapping[int, int] = field(default_factory=dict)
    outbox: int = 0


def violations(history: History) -> list[Violation]:
    """Everything that is broken, item by item; empty if all promises are kept."""
    found: list[Violation] = []
    by_item = _labels(history.committed)
    effects = _labels(history.effects)
    for item in sorted({*by_item, *effects}):
        found += _of_item(item, by_item.get(item, []), effects.get(item, []))
        counted, logged = history.counters.get(item, 0), len(effects.get(item, []))
        if counted != logged:
            found.append(Violation(Kind.HALF, f"item {item}: counted {counted} effects, logged {logged}"))
    if dict(history.source) != dict(history.copy):
        found.append(Violation(Kind.COPY, f"source {dict(history.source)}, copy {dict(history.copy)}"))
    if history.outbox:
        found.append(Violation(Kind.UNSENT, f"{history.outbox} messages wait in the outbox"))
    return found


def kinds(found: Iterable[Violation]) -> set[Kind]:
    return {violation.kind for violation in found}


def _of_item(item: int, committed: Sequence[str], effects: Sequence[str]) -> list[Violation]:
    found: list[Violation] = []
    expected = dict.fromkeys(committed)
    times = Counter(effects)
    if lost := [label for label in expected if label not in times]:
        found.append(Violation(Kind.LOST, f"item {item}: no effect of {lost}"))
    if twice := [f"{label} ({n} times)" for label, n in times.items() if n > 1]:
        found.append(Violation(Kind.TWICE, f"item {item}: more than one effect of {twice}"))
    if invented := [label for label in times if label not in expected]:
        found.append(Violation(Kind.INVENTED, f"item {item}: effects of {invented}, which was never committed"))
    seen = [label for label in dict.fromkeys(effects) if label in expected]
    if seen != [label for label in expected if label in times]:
        found.append(Violation(Kind.ORDER, f"item {item}: committed {list(committed)}, effects {list(effects)}"))
    return found


def _labels(changes: Iterable[Change]) -> dict[int, list[str]]:
    labels: dict[int, list[str]] = {}
    for change in changes:
        labels.setdefault(change.item, []).append(change.label)
    return labels
