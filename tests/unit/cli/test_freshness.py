"""How far behind an input is, told from outside: by what the broker holds next, or unknown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from streambind.cli.freshness import with_freshness
from streambind.cli.plan import PlannedBinding
from streambind.cli.progress import Lane, Progress
from streambind.message import COMMITTED, Message

INPUT = PlannedBinding("in-t", "in", ("t",), "g", "application/json", "kafka", "on error stop", None, None)
END = 10


@dataclass
class Broker:
    """The target, its brokers and their binder in one: holds the first message of some partitions."""

    firsts: Mapping[int, Message]

    @contextmanager
    def brokers(self) -> Iterator[Broker]:
        yield self

    def ask(self, binder: str, question: Callable[[Broker], Any]) -> Any:
        return question(self)

    def read(
        self, destination: str, starts: Mapping[int, int], timeout_ms: int, *, each: int
    ) -> Sequence[Message]:
        assert (destination, each) == ("t", 1)
        return [_in(partition, self.firsts[partition]) for partition in starts if partition in self.firsts]


def _in(partition: int, message: Message) -> Message:
    return Message(message.payload, raw_headers=message.raw_headers, destination="t", partition=partition)


def committed(seconds_ago: float) -> Message:
    at = time.time_ns() // 1_000_000 - round(seconds_ago * 1000)
    return Message(b"{}", raw_headers=[(COMMITTED, b"%d" % at)])


def lane(partition: int, done_to: int | None, *, lost: str | None = None) -> Lane:
    return Lane("t", partition, 0, END, done_to, lost=lost)


def told(firsts: Mapping[int, Message], *lanes: Lane, binding: PlannedBinding = INPUT) -> Progress:
    target: Any = Broker(firsts)
    (found,) = with_freshness(target, [Progress(binding, lanes)])
    return found


def test_a_partition_is_as_far_behind_as_its_next_message_is_old() -> None:
    found = told({0: committed(60)}, lane(0, 4))
    assert found.lanes[0].behind_s == pytest.approx(60, abs=5)
    assert found.lag == 6


def test_at_the_end_nothing_is_behind() -> None:
    found = told({}, lane(0, END))
    assert (found.behind_s, found.lanes[0].nothing_left) == (0.0, True)


def test_where_the_log_holds_nothing_more_nothing_is_left_whatever_the_offsets_say() -> None:
    """Offsets may be taken by transactions that were aborted, or by what was compacted away."""
    found = told({}, lane(0, 4))
    assert (found.lag, found.behind_s) == (0, 0.0)


@pytest.mark.parametrize(
    "unknown",
    [lane(1, None), lane(1, END + 1), lane(1, 4, lost="DestinationReplacedError: made anew")],
    ids=["no position", "beyond the end", "lost"],
)
def test_where_the_position_says_nothing_it_is_unknown_and_so_is_the_whole(unknown: Lane) -> None:
    found = told({0: committed(60)}, lane(0, 4), unknown)
    assert found.lanes[0].behind_s is not None
    assert (found.lanes[1].behind_s, found.lanes[1].nothing_left) == (None, False)
    assert found.behind_s is None


def test_a_message_that_does_not_say_when_it_was_committed_is_unknown() -> None:
    found = told({0: committed(60), 1: Message(b"{}")}, lane(0, 4), lane(1, 4))
    assert found.behind_s is None
    assert found.lag == 12


def test_the_partition_that_is_furthest_behind_counts() -> None:
    found = told({0: committed(60), 1: committed(5)}, lane(0, 4), lane(1, 4), lane(2, END))
    assert found.behind_s == pytest.approx(60, abs=5)


def test_without_partitions_or_without_a_group_nothing_is_known() -> None:
    assert told({}).behind_s is None
    assert told({0: committed(60)}, lane(0, 4), binding=replace(INPUT, group=None)).behind_s is None
