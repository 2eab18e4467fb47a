"""Whether a history keeps the promises: every committed change has one effect, in order, and nothing else has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any, NamedTuple

_SHOWN = 10


class Change(NamedTuple):
    """One change of one item, by a label that no other change of that item has. Order is kept per item: an item
    is what shares a message key."""

    item: Hashable
    label: str


class Kind(StrEnum):
    """What is broken. `copy`: a read model is not what the source is; `half`: effects of one event that belong
    together were not made together; `parked`: set aside without a reason, or set aside and done all the same;
    `position`: one went backwards; `gap`: a key's number is on the topic and the one before it is not, or only
    later; `growth`: memory or backlog went beyond the bounds; `standstill`: nothing moved for too long after a
    fault was over."""

    LOST = "lost"
    TWICE = "twice"
    INVENTED = "invented"
    ORDER = "order"
    HALF = "half"
    COPY = "copy"
    UNSENT = "unsent"
    PARKED = "parked"
    POSITION = "position"
    GAP = "gap"
    GROWTH = "growth"
    STANDSTILL = "standstill"


@dataclass(frozen=True, slots=True)
class Violation:
    kind: Kind
    text: str


@dataclass(frozen=True)
class History:
    """What the databases say when all is drained.

    `committed` and `effects` are in order, that of the commits and that of the handling. `effects` is None where
    nobody logs them, as with `@replicates`: then the copies alone tell. `counters` are the effects per item,
    counted one by one. `source` are the items as they stand, `copies` what each read model has of them, by its
    name. `outbox` is how many messages still wait; `parked` are changes that were set aside (parked keys, dead
    letters), each with its reason.

    Raises:
        ValueError: neither effects nor copies: nothing could be wrong.
    """

    committed: Sequence[Change] = ()
    effects: Sequence[Change] | None = None
    counters: Mapping[Any, int] | None = None
    source: Mapping[Any, object] = field(default_factory=dict)
    copies: Mapping[str, Mapping[Any, object]] = field(default_factory=dict)
    outbox: int = 0
    parked: Mapping[Change, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.effects is None and not self.copies:
            raise ValueError("a History needs effects or copies: without them, nothing could be wrong")


def violations(history: History) -> list[Violation]:
    """Everything that is broken, item by item; empty if all promises are kept."""
    found = [] if history.effects is None else _of_effects(history, history.effects)
    for name, copy in history.copies.items():
        found += _of_copy(history, name, copy)
    if history.outbox:
        found.append(Violation(Kind.UNSENT, f"{history.outbox} messages wait in the outbox"))
    return found


def kinds(found: Iterable[Violation]) -> set[Kind]:
    return {violation.kind for violation in found}


def _of_effects(history: History, logged: Sequence[Change]) -> list[Violation]:
    found: list[Violation] = []
    by_item, effects = _labels(history.committed), _labels(logged)
    for item in sorted({*by_item, *effects}, key=str):
        aside = {change.label: why for change, why in history.parked.items() if change.item == item}
        done = effects.get(item, [])
        found += _of_item(item, by_item.get(item, []), done, aside)
        counted = len(done) if history.counters is None else history.counters.get(item, 0)
        if counted != len(done):
            found.append(Violation(Kind.HALF, f"item {item}: counted {counted} effects, logged {len(done)}"))
    return found


def _of_item(
    item: Hashable, committed: Sequence[str], effects: Sequence[str], aside: Mapping[str, str]
) -> list[Violation]:
    found: list[Violation] = []
    expected = dict.fromkeys(committed)
    times = Counter(effects)
    if lost := [label for label in expected if label not in times and label not in aside]:
        found.append(Violation(Kind.LOST, f"item {item}: no effect of {_some(lost)}"))
    if twice := [f"{label} ({n} times)" for label, n in times.items() if n > 1]:
        found.append(Violation(Kind.TWICE, f"item {item}: more than one effect of {_some(twice)}"))
    if invented := [label for label in (*times, *aside) if label not in expected]:
        found.append(
            Violation(Kind.INVENTED, f"item {item}: effects of {_some(invented)}, which was never committed")
        )
    if wrong := [label for label, why in aside.items() if not why.strip() or label in times]:
        found.append(
            Violation(Kind.PARKED, f"item {item}: set aside without a reason, or done as well: {_some(wrong)}")
        )
    seen = [label for label in dict.fromkeys(effects) if label in expected]
    if seen != [label for label in expected if label in times]:
        found.append(Violation(Kind.ORDER, f"item {item}: {_first_out_of_order(list(expected), seen)}"))
    return found


def _first_out_of_order(committed: Sequence[str], seen: Sequence[str]) -> str:
    """Where a sequence first departs from the order of another, which holds all of it."""
    place = {label: index for index, label in enumerate(committed)}
    before, after = next((a, b) for a, b in pairwise(seen) if place[b] < place[a])
    return f"{after} was committed before {before}, and had its effect after it"


def _of_copy(history: History, name: str, copy: Mapping[Any, object]) -> list[Violation]:
    source = history.source
    aside = {change.item for change in history.parked}
    if wrong := [
        f"{item}: source {source.get(item)}, read model {copy.get(item)}"
        for item in sorted({*source, *copy} - aside, key=str)
        if (item in source, source.get(item)) != (item in copy, copy.get(item))
    ]:
        return [Violation(Kind.COPY, f"read model {name} and source differ: {_some(wrong)}")]
    return []


def _some(texts: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def _labels(changes: Iterable[Change]) -> dict[Hashable, list[str]]:
    labels: dict[Hashable, list[str]] = {}
    for change in changes:
        labels.setdefault(change.item, []).append(change.label)
    return labels
