"""When what a lane has in hand was committed."""

from __future__ import annotations

import pytest

from streambind.binding.binder import Lane
from streambind.errors import PermanentError
from streambind.inbound.commit_times import CommitTimes
from streambind.message import RawHeaders
from tests.unit.inbound.batches import ListBatch, Record, record

LANE = Lane("things", 0)


def committed(at: int) -> Record:
    return record({}, "k", **{"sb-committed": str(at)})


@pytest.fixture
def times() -> CommitTimes:
    return CommitTimes()


def test_before_anything_came_it_is_unknown(times: CommitTimes) -> None:
    assert times.at(LANE, 0) is None


def test_while_a_delivery_runs_its_first_message_counts(times: CommitTimes) -> None:
    times.begins(LANE, ListBatch([committed(100), committed(200)], 7))
    assert times.at(LANE, 7) == 100


def test_what_is_left_undone_counts_then(times: CommitTimes) -> None:
    batch = ListBatch([committed(100), committed(200), committed(300)], 7)
    times.begins(LANE, batch)
    times.ends(LANE, batch, 1)
    assert times.at(LANE, 8) == 200


def test_once_all_is_done_the_last_one_counts(times: CommitTimes) -> None:
    batch = ListBatch([committed(100), committed(200)], 7)
    times.begins(LANE, batch)
    times.ends(LANE, batch, 2)
    assert times.at(LANE, 9) == 200


def test_what_another_instance_has_done_since_is_unknown(times: CommitTimes) -> None:
    batch = ListBatch([committed(100)], 7)
    times.begins(LANE, batch)
    times.ends(LANE, batch, 1)
    assert times.at(LANE, 20) is None


def test_what_is_in_hand_says_nothing_of_where_another_instance_has_gone_on(times: CommitTimes) -> None:
    times.begins(LANE, ListBatch([committed(100), committed(200)], 7))
    assert times.at(LANE, 20) is None


def test_a_message_that_does_not_say_is_unknown(times: CommitTimes) -> None:
    times.begins(LANE, ListBatch([record({}, "k")], 0))
    assert times.at(LANE, 0) is None


def test_headers_that_cannot_be_read_are_nobodys_trouble(times: CommitTimes) -> None:
    class Unreadable(ListBatch):
        def raw_headers(self, i: int) -> RawHeaders:
            raise PermanentError("not UTF-8")

    times.begins(LANE, Unreadable([committed(1)], 0))
    assert times.at(LANE, 0) is None


def test_a_delivery_that_does_nothing_leaves_its_first_message(times: CommitTimes) -> None:
    batch = ListBatch([committed(100)], 7)
    times.begins(LANE, batch)
    times.ends(LANE, batch, 0)
    assert times.at(LANE, 7) == 100
