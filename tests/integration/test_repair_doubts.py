"""What is not there to be mended is left alone: no row is deleted that the source has, or may have."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select

from streambind.configuration.properties import BindingProperties
from streambind.errors import LifecycleError
from streambind.inbound.input import InputPlan
from streambind.inbound.limits import Limits
from streambind.inbound.replica_plan import Row
from streambind.inbound.replicates import replicas_of, replicates
from streambind.inbound.surroundings import Surroundings
from streambind.replicas import source as source_module
from streambind.replicas.expected_rows import ExpectedRows
from streambind.replicas.repair import Repaired, repair
from streambind.replicas.replica import Replica
from streambind.replicas.source import Source, SourceRow
from streambind.replicas.source_diff import SourceDiff, SourceDifference
from tests.integration.capture.conftest import close_service, make_service
from tests.integration.capture.models import SeatChanged
from tests.integration.test_source_diff import TOPIC, CopyBase, NotedColumns, SeatCopy, World, world

__all__ = ["world"]


@replicates("in-seats", SeatChanged)
@replicates("in-seats-of-another-town", SeatChanged)
class TownCopy(NotedColumns, CopyBase):
    __tablename__ = "town_copy"


def fill(world: World, rows: int = 8) -> None:
    for number in range(rows):
        world.put("a", number, f"g{number}")
    world.deliver()


def compared(world: World, replica: Replica, source: Source | None = None) -> SourceDifference:
    compared = SourceDiff(world.reader, replica, source or world.publisher())
    return compared.run(limit=10, progress=lambda _: None)


def unknown(world: World, rows: int = 1) -> None:
    """Rows that the source does not have."""
    for number in range(rows):
        world.by_hand(insert(SeatCopy).values(room="z", number=number, state="free"))


def test_copies_of_rows_that_cannot_be_read_are_kept(world: World) -> None:
    fill(world)
    narrow = replace(world.replica(), limits=Limits(10, 64, 65536))
    seen = compared(world, narrow)
    assert (seen.difference.extra, seen.unreadable) == (8, 8)
    with pytest.raises(LifecycleError, match=r"8 rows of the source cannot be read.*--keep-extra"):
        repair(world.reader, narrow, world.publisher(), seen, force=True)
    assert world.copies() == world.seats()
    assert repair(world.reader, narrow, world.publisher(), replace(seen, extra=())) == Repaired(0, 0)


def test_rows_that_the_replicas_database_refuses_count_as_unreadable(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(world, 4)
    refused = ExpectedRows.put

    def put(self: ExpectedRows, connection: Connection, rows: Collection[Row]) -> None:
        """One row has a number that the column does not take."""
        too_large = (2**70 if row[1] == 2 else row[1] for row in rows)
        refused(
            self, connection, [(row[0], number, *row[2:]) for row, number in zip(rows, too_large, strict=True)]
        )

    monkeypatch.setattr(ExpectedRows, "put", put)
    seen = compared(world, world.replica())
    assert (seen.difference.extra, seen.difference.expected, seen.unreadable) == (1, 3, 1)
    with pytest.raises(LifecycleError, match="1 rows of the source cannot be read"):
        repair(world.reader, world.replica(), world.publisher(), seen)


def test_a_source_that_the_group_never_heard_of_is_refused(world: World, tmp_path: Path) -> None:
    fill(world)
    other = make_service(f"sqlite:///{tmp_path / 'staging.db'}")
    try:
        staging = Source(other.database, "out-seatChanged", TOPIC)
        seen = compared(world, world.replica(), staging)
        assert seen.difference.extra == 8
        with pytest.raises(LifecycleError, match="none from this source's database"):
            repair(world.reader, world.replica(), staging, seen, force=True)
    finally:
        close_service(other)
    assert world.copies() == world.seats()


def test_rows_that_may_be_of_another_source_are_kept(world: World) -> None:
    marks = [mark for mark in replicas_of(TownCopy) if mark.binding == "in-seats"]
    surroundings = Surroundings(loop=world.reader.loop, database=world.reader)
    properties = BindingProperties(destination=TOPIC, group="towns")
    (plan,) = InputPlan.build("in-seats", properties, replicas=marks, surroundings=surroundings).replicas
    town = replace(world.replica(), plan=plan)
    world.by_hand(delete(TownCopy))
    world.by_hand(insert(TownCopy).values(room="of the other town", number=1, state="free"))
    world.put("a", 1, "g")
    with pytest.raises(LifecycleError, match="in-seats-of-another-town fills the same columns"):
        repair(world.reader, town, world.publisher(), compared(world, town), force=True)
    assert len(world.reader.run(lambda c: c.execute(select(TownCopy.room)).all())) == 1


@pytest.mark.parametrize(("good", "bad"), [(12, 11), (0, 1)])
def test_a_large_share_of_the_table_is_deleted_by_force_only(world: World, good: int, bad: int) -> None:
    fill(world, good)
    unknown(world, bad)
    with pytest.raises(LifecycleError, match=rf"{bad} of {good + bad} rows would be deleted.*--force"):
        world.repair()
    assert len(world.copies()) == good + bad
    assert world.repair(force=True) == Repaired(0, bad)
    assert world.copies() == world.seats()


def test_a_row_that_came_back_and_was_delivered_is_kept(world: World) -> None:
    fill(world, 1)
    unknown(world, 2)
    seen = world.difference()
    assert seen.are_keyed
    world.put("z", 1, "newest")
    world.deliver()
    assert repair(world.reader, world.replica(), world.publisher(), seen) == Repaired(0, 1)
    assert world.copies() == world.seats()
    assert world.tables() == set()


@pytest.mark.parametrize("world", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)
def test_the_group_stands_still_while_the_source_is_asked_once_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(world, 2)
    unknown(world)
    seen = world.difference()
    free: list[int] = []
    asked, position = Source.rows, world.reader.tables.position

    def rows(self: Source, refs: Sequence[str]) -> list[SourceRow]:
        query = select(position.c.next_offset).with_for_update(skip_locked=True)
        free.append(len(world.reader.run(lambda connection: connection.execute(query).all())))
        return asked(self, refs)

    monkeypatch.setattr(Source, "rows", rows)
    assert repair(world.reader, world.replica(), world.publisher(), seen) == Repaired(0, 1)
    assert free == [0]


def test_where_keys_are_not_the_sources_own_it_is_asked_for_all_rows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "CHUNK", 2)
    fill(world, 5)
    unknown(world, 2)
    seen = replace(world.difference(), are_keyed=False)
    world.put("z", 1, "newest")
    world.deliver()
    assert repair(world.reader, world.replica(), world.publisher(), seen) == Repaired(0, 1)
    assert world.copies() == world.seats()


def test_a_row_that_came_and_cannot_be_read_ends_it(world: World) -> None:
    fill(world, 2)
    unknown(world)
    seen = world.difference()
    world.put("z", 0, "back")
    narrow = replace(world.replica(), limits=Limits(10, 64, 65536))
    with pytest.raises(LifecycleError, match="look again"):
        repair(world.reader, narrow, world.publisher(), seen)
    assert ("z", 0) in world.copies()


def test_commands_at_once_do_not_disturb_each_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another comparison begins, and comes to its end, in the middle of this one."""
    monkeypatch.setattr(source_module, "CHUNK", 2)
    fill(world)
    others: list[Any] = []

    def other(done: int) -> None:
        if done == 4:
            others.append(world.difference())

    seen = SourceDiff(world.reader, world.replica(), world.publisher()).run(limit=10, progress=other)
    assert [each.difference.is_none for each in (seen, *others)] == [True, True]


@pytest.fixture
def killed(world: World) -> Iterator[tuple[str, str]]:
    """The tables of two commands that were killed: one long ago, one just now."""
    now = int(time.time())
    old, new = (f"sb_diff_seat_copy_{at:08x}deadbeef" for at in (now - 90_000, now - 3_600))
    for name in (old, new):
        world.reader.run(lambda c, name=name: c.exec_driver_sql(f"CREATE TABLE {name} (id INT)"))  # type: ignore[misc]
    yield old, new
    world.reader.run(lambda c: c.exec_driver_sql(f"DROP TABLE {new}"))


def test_what_killed_commands_have_left_is_dropped_a_day_later(world: World, killed: tuple[str, str]) -> None:
    world.difference()
    assert world.tables() == {killed[1]}
