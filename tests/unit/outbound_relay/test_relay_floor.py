"""What two looks prove."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from streambind.event_loop import EventLoop
from streambind.outbound.relay_floor import Floor, Look
from streambind.persistence.database import Database


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def floor(clock: Clock) -> Floor:
    """The floor of a PostgreSQL database that nobody connects to."""
    engine = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    floor = Floor(Database(sessionmaker(engine), loop=EventLoop()), clock=clock)
    floor.has_read(0, 1.0)
    return floor


def test_it_rises_when_all_who_were_open_have_ended_and_nothing_came(floor: Floor) -> None:
    floor.take(Look(lowest=101, open_from=7, next_one=9))
    assert floor.value == 0
    floor.take(Look(lowest=500, open_from=8, next_one=20))
    assert floor.value == 0
    floor.take(Look(lowest=900, open_from=9, next_one=30))
    assert floor.value == 100
    floor.take(Look(lowest=950, open_from=30, next_one=40))
    assert floor.value == 899


def test_what_commits_late_holds_it_down(floor: Floor) -> None:
    floor.take(Look(lowest=101, open_from=7, next_one=9))
    floor.take(Look(lowest=50, open_from=9, next_one=12))
    assert floor.value == 0
    floor.take(Look(lowest=101, open_from=12, next_one=13))
    assert floor.value == 49


def test_an_empty_outbox_counts_as_gone_up_to_what_was_deleted(floor: Floor) -> None:
    floor.has_deleted(70)
    floor.has_deleted(30)
    floor.take(Look(lowest=None, open_from=7, next_one=9))
    floor.take(Look(lowest=None, open_from=9, next_one=9))

    assert floor.value == 70


def test_it_never_sinks_while_it_is_in_use(floor: Floor) -> None:
    floor.take(Look(lowest=101, open_from=7, next_one=7))
    floor.take(Look(lowest=101, open_from=7, next_one=7))
    floor.take(Look(lowest=None, open_from=8, next_one=8))
    floor.take(Look(lowest=None, open_from=8, next_one=8))

    assert floor.value == 100


def test_every_ten_seconds_everything_is_read(floor: Floor, clock: Clock) -> None:
    floor.take(Look(lowest=101, open_from=7, next_one=7))
    floor.take(Look(lowest=101, open_from=7, next_one=7))
    clock.now += 20
    assert floor.for_read() == 0

    floor.has_read(0, 0.1)
    assert floor.for_read() == 100
    clock.now += 9.9
    assert floor.for_read() == 100
    clock.now += 0.1
    assert floor.for_read() == 0


def test_once_reads_are_quick_it_is_forgotten(floor: Floor, clock: Clock) -> None:
    floor.take(Look(lowest=101, open_from=7, next_one=7))
    floor.take(Look(lowest=101, open_from=7, next_one=7))
    assert floor.wants_look()

    floor.has_read(0, 0.001)

    assert floor.for_read() == floor.value == 0
    assert not floor.wants_look()


def test_other_databases_have_no_need_of_it(clock: Clock) -> None:
    engine = create_engine("sqlite:///nothing.db")
    floor = Floor(Database(sessionmaker(engine), loop=EventLoop()), clock=clock)

    floor.has_read(0, 60.0)

    assert not floor.wants_look()
    assert floor.for_read() == 0
