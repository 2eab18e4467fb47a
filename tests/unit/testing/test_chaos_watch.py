"""What is seen while faults happen: positions that go backwards, standstills, and growth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from streambind.testing.chaos import Bounds, Kind, kinds
from streambind.testing.chaos.observed import ObservedDatabase
from streambind.testing.chaos.watch import Watch


@pytest.fixture
def database(tmp_path: Path) -> Iterator[ObservedDatabase]:
    observed = ObservedDatabase(f"sqlite:///{tmp_path / 'service.db'}")
    yield observed
    observed.close()


@pytest.fixture
def position(database: ObservedDatabase) -> Watch:
    """A watch over a database in which a group stands at 5."""
    database.tables.metadata.create_all(database.engine)
    row = {"group_name": "g", "destination": "d", "partition": 0, "next_offset": 5, "start": "earliest"}
    with database.engine.begin() as connection:
        connection.execute(insert(database.tables.position).values(**row, start_offset=0, updated_ms=0))
    return Watch([database], [], bounds=Bounds(recovery_s=-1, backlog=-1))


def _move(database: ObservedDatabase, offset: int) -> None:
    with database.engine.begin() as connection:
        connection.execute(update(database.tables.position).values(next_offset=offset))


def test_a_position_that_goes_backwards_is_a_violation(database: ObservedDatabase, position: Watch) -> None:
    position.look()
    _move(database, 4)
    position.look()
    assert Kind.POSITION in kinds(position.seen.violations)
    assert "from 5 back to 4" in "".join(v.text for v in position.seen.violations)


def test_recovery_is_measured_from_the_end_of_the_fault_to_the_next_move(
    database: ObservedDatabase, position: Watch
) -> None:
    position.look()
    position.fault_ended("kill")
    position.look()
    assert position.seen.recoveries_s == {}
    _move(database, 6)
    position.look()
    assert list(position.seen.recoveries_s) == ["kill"]
    assert Kind.STANDSTILL in kinds(position.seen.violations)
    _move(database, 7)
    position.look()
    assert len(position.seen.recoveries_s["kill"]) == 1


def test_what_exceeds_the_bounds_is_told_once(position: Watch) -> None:
    position.look()
    position.look()
    assert [v.kind for v in position.seen.violations] == [Kind.GROWTH]


def test_a_database_without_tables_is_waited_for(database: ObservedDatabase) -> None:
    watch = Watch([database], [], bounds=Bounds())
    watch.look()
    assert watch.seen.violations == []
    assert not watch.has_moved.is_set()
