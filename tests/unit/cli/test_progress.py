"""Lag is counted from what is done, and unknown where nobody knows."""

from __future__ import annotations

import pytest

from streambind.binding.binder import Identity
from streambind.cli.bindings import lag_text
from streambind.cli.plan import PlannedBinding
from streambind.cli.progress import Lane, Progress
from streambind.inbound.stored_positions import StoredPosition


def _lane(
    committed: int | None = None,
    stored: int | None = None,
    *,
    start: int = 0,
    database: bool = False,
    lost: str | None = None,
) -> Lane:
    position = None if stored is None else StoredPosition(stored, Identity(), 0, 0)
    return Lane("t", 0, start, 10, committed, position, by_database=database, lost=lost)


@pytest.mark.parametrize(
    ("lane", "lag"),
    [
        (_lane(committed=4), 6),
        (_lane(committed=10), 0),
        (_lane(), None),
        (_lane(committed=11), None),
        (_lane(committed=2, start=5), 5),
        (_lane(committed=10, stored=4, database=True), 6),
        (_lane(committed=10, database=True), None),
        (_lane(stored=4, database=True, lost="made anew"), None),
        (_lane(stored=2, start=5, database=True, lost="retention"), 5),
        (_lane(start=10), 0),
        (_lane(committed=11, start=10), None),
    ],
)
def test_lag_of_a_partition(lane: Lane, lag: int | None) -> None:
    assert lane.lag == lag


def _binding(**fields: object) -> PlannedBinding:
    values: dict[str, object] = {
        "name": "in-t",
        "direction": "in",
        "destinations": ("t",),
        "group": "g",
        "content_type": "application/json",
        "binder": "kafka",
        "mode": "on error stop",
        "declared": None,
        "code": None,
    }
    return PlannedBinding(**{**values, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(_binding(), (_lane(committed=4), _lane(committed=9))), "7"),
        (Progress(_binding(), (_lane(committed=4), _lane())), "unknown"),
        (Progress(_binding(), ()), "unknown"),
        (Progress(_binding(), (_lane(committed=4),), missing=("u",)), "unknown: no destination u"),
        (Progress(_binding(group=None), (_lane(),)), "unknown: no group"),
        (Progress(_binding(is_pattern=True), ()), "unknown: the destination is a pattern"),
        (Progress(_binding(direction="out"), (_lane(),)), None),
    ],
)
def test_lag_of_a_binding(progress: Progress, text: str | None) -> None:
    assert lag_text(progress) == text
