"""What becomes of the messages of one partition, whatever is decided about them."""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streambind.binders.kafka.batch import KafkaBatch
from streambind.binders.kafka.lanes import KafkaLane, QueueLimits
from streambind.binding.outcome import Apart, Outcome, RetryAfter, Seek, Stop
from streambind.message import Batch
from streambind.read_ahead import ReadAhead
from tests.unit.binders.kafka.messages import lane, message, messages


def offsets(batch: KafkaBatch | None) -> list[int]:
    return [] if batch is None else [batch.offset(i) for i in range(len(batch))]


def took(it: KafkaLane, limit: int = 100) -> KafkaBatch:
    batch = it.take(limit)
    assert batch is not None
    return batch


def test_messages_leave_in_batches_of_at_most_the_limit() -> None:
    it = lane()
    assert it.receive(messages(range(5)))
    first = took(it, 3)
    assert offsets(first) == [0, 1, 2]
    assert it.finish(first, Outcome(3)) == 0
    assert offsets(it.take(3)) == [3, 4]


def test_a_lane_is_handed_over_once() -> None:
    it = lane()
    assert it.receive(messages([0]))
    assert not it.receive(messages([1]))
    batch = took(it)
    assert not it.receive(messages([2]))
    assert it.take(100) is None
    assert it.finish(batch, Outcome(2)) == 0
    assert offsets(it.take(100)) == [2]


def test_nothing_left_to_do_hands_nothing_over() -> None:
    it = lane()
    it.receive(messages([0]))
    assert it.finish(took(it), Outcome(1)) is None
    assert it.position == 1
    assert it.receive(messages([1]))


def test_the_undone_rest_comes_again_first_alone_and_at_its_position() -> None:
    it = lane()
    it.receive(messages([2, 5, 9]))
    batch = took(it)
    it.receive(messages([10]))
    assert it.finish(batch, Outcome(1)) == 0
    rest = took(it)
    assert (offsets(rest), rest.position, rest.next_offset) == ([5, 9], 5, 10)
    it.finish(rest, Outcome(0))
    again = took(it)
    assert (offsets(again), again.position) == ([5, 9], 5)


def test_a_retry_waits_and_says_why() -> None:
    it = lane()
    it.receive(messages([0, 1]))
    assert it.finish(took(it), Outcome(1, RetryAfter(250, "later"))) == 250
    assert it.state().retrying == "later"
    assert it.scheduled
    assert not it.receive(messages([2]))
    assert offsets(it.take(100)) == [1]
    assert it.state().retrying is None


def test_one_partition_cannot_be_delivered_apart() -> None:
    it = lane()
    it.receive(messages([0, 1]))
    assert it.finish(took(it), Outcome(0, Apart())) is None
    assert it.stalled is not None
    assert it.position == 0


def test_a_retry_of_nothing_is_no_retry() -> None:
    it = lane()
    it.receive(messages([0]))
    assert it.finish(took(it), Outcome(1, RetryAfter(250))) is None
    assert it.state().retrying is None


def test_a_seek_forgets_everything_and_moves_the_position() -> None:
    it = lane()
    it.receive(messages([0, 1]))
    batch = took(it, 1)
    it.receive(messages([2]))
    assert it.finish(batch, Outcome(0, Seek(100))) is None
    assert (it.position, it.seeking) == (100, 100)
    assert not it.receive(messages([3]))
    it.sought()
    assert not it.receive(messages([4]))
    assert it.receive(messages([100]))
    sought = took(it)
    assert (sought.position, offsets(sought)) == (100, [100])


def test_a_seek_may_go_back() -> None:
    it = lane(50)
    it.receive(messages([50]))
    it.finish(took(it), Outcome(1, Seek(10)))
    it.sought()
    assert it.receive(messages([10]))


def test_a_move_from_outside_makes_the_running_batch_count_for_nothing() -> None:
    it = lane(50)
    it.receive(messages([50, 51]))
    batch = took(it)
    it.seek(0)
    it.sought()
    assert not it.receive(messages([0]))
    assert it.finish(batch, Outcome(1)) == 0
    moved = took(it)
    assert (moved.position, offsets(moved)) == (0, [0])
    assert it.finish(moved, Outcome(1)) is None
    assert it.position == 1


def test_a_stop_is_visible_and_final() -> None:
    it = lane()
    it.receive(messages([0, 1, 2]))
    assert it.finish(took(it), Outcome(1, Stop(ValueError("bad")))) is None
    state = it.state()
    assert (state.position, state.stalled) == (1, "ValueError: bad")
    assert not it.receive(messages([3]))
    assert it.take(100) is None


@pytest.mark.parametrize("done", [-1, 4])
def test_an_outcome_that_does_not_fit_stops_the_lane_with_nothing_done(done: int) -> None:
    it = lane()
    it.receive(messages([0, 1, 2]))
    assert it.finish(took(it), Outcome(done)) is None
    assert it.position == 0
    assert it.stalled is not None


def test_a_dropped_lane_still_counts_what_was_running() -> None:
    it = lane()
    it.receive(messages([0, 1]))
    batch = took(it, 1)
    it.drop(abandon=False)
    assert it.finish(batch, Outcome(1)) is None
    assert it.position == 1
    assert it.take(100) is None


def test_an_abandoned_lane_does_not() -> None:
    it = lane()
    it.receive(messages([0]))
    batch = took(it)
    it.drop(abandon=True)
    it.finish(batch, Outcome(1))
    assert it.position == 0


def test_what_lies_before_the_next_offset_is_forgotten() -> None:
    it = lane(10)
    assert not it.receive(messages([7, 8]))
    assert it.receive(messages([9, 10, 11]))
    assert offsets(it.take(100)) == [10, 11]


def test_a_position_can_lie_before_the_first_message() -> None:
    it = lane(2)
    it.receive(messages([3]))
    batch = took(it)
    assert (batch.position, batch.next_offset) == (2, 4)


def test_how_much_may_wait_is_bounded_in_messages() -> None:
    it = lane(limits=QueueLimits(low=2, high=4, most=8))
    it.receive(messages(range(3)))
    assert (it.is_full(), it.overflows(), it.is_drained()) == (False, False, False)
    it.receive(messages(range(3, 4)))
    assert (it.is_full(), it.overflows()) == (True, False)
    it.receive(messages(range(4, 8)))
    assert it.overflows()
    took(it, 6)
    assert (it.is_full(), it.is_drained()) == (False, True)


def test_how_much_may_wait_is_bounded_in_bytes() -> None:
    it = lane(limits=QueueLimits(low=5, high=10, most=30, high_bytes=100, most_bytes=200))
    it.receive([message(0, b"x" * 120)])
    assert (it.is_full(), it.overflows(), it.is_drained()) == (True, False, False)
    it.receive([message(1, b"x" * 120)])
    assert it.overflows()
    took(it, 1)
    assert (it.is_full(), it.overflows()) == (True, False)


def test_a_whole_batch_is_seen_ahead_once_and_taken_as_it_was_seen() -> None:
    it = lane()
    it.receive(messages([0, 2, 5]))
    first = took(it, 2)
    assert it.see_ahead(2) is None
    it.receive(messages([7]))
    ahead = it.see_ahead(2)
    assert (offsets(ahead), it.see_ahead(2)) == ([5, 7], None)
    it.finish(first, Outcome(2))
    assert it.take(2) is ahead


def test_the_rest_of_a_batch_comes_before_what_was_seen_ahead() -> None:
    it = lane()
    it.receive(messages([0, 2, 5, 7]))
    first = took(it, 2)
    ahead = it.see_ahead(2)
    assert ahead is not None
    assert ahead.position == 3
    it.finish(first, Outcome(1))
    rest = took(it, 2)
    assert offsets(rest) == [2]
    it.finish(rest, Outcome(1))
    assert it.take(2) is ahead


class Nothing:
    """Reads nothing."""

    def read_ahead(self, batch: Batch) -> Generator[None, None, None]:
        while True:
            yield


def seen_ahead(it: KafkaLane, limit: int) -> ReadAhead:
    """The next batch, being read."""
    batch = it.see_ahead(limit)
    assert batch is not None
    batch.ahead = ReadAhead(batch, [Nothing()])
    assert batch.ahead.step()
    return batch.ahead


def test_what_was_seen_ahead_is_dropped_where_less_is_taken() -> None:
    it = lane()
    it.receive(messages(range(4)))
    ahead = seen_ahead(it, 4)
    less = took(it, 3)
    assert (offsets(less), less.ahead) == ([0, 1, 2], None)
    assert not ahead.step()
    it.finish(less, Outcome(3))
    assert offsets(it.take(4)) == [3]


@pytest.mark.parametrize(
    "leave", [lambda it: it.drop(abandon=False), lambda it: it.seek(9), lambda it: it.stop("")]
)
def test_what_was_seen_ahead_is_dropped_with_what_is_in_memory(leave: Callable[[KafkaLane], None]) -> None:
    it = lane()
    it.receive(messages(range(4)))
    ahead = seen_ahead(it, 4)
    leave(it)
    assert not ahead.step()
    assert it.see_ahead(1) is None


def test_what_was_seen_ahead_before_a_move_does_not_come_after_it() -> None:
    it = lane()
    it.receive(messages(range(4)))
    it.see_ahead(4)
    it.seek(0)
    it.sought()
    it.receive([message(offset, b"anew") for offset in range(4)])
    assert took(it, 4).payloads() == [b"anew"] * 4


class OnePartition(RuleBasedStateMachine):
    """Whatever is decided: every message is done once, in order, unless a seek or a stop says otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.log = 0
        self.running: KafkaBatch | None = None
        self.polled: list[int] = []

    @initialize(start=st.integers(0, 5))
    def assign(self, start: int) -> None:
        self.it = lane(start)
        self.log = start
        self.next = start

    @rule(holes=st.lists(st.integers(1, 3), min_size=1, max_size=5))
    def poll(self, holes: list[int]) -> None:
        polled = []
        for hole in holes:
            polled.append(message(self.log))
            self.polled.append(self.log)
            self.log += hole
        self.it.receive(polled)

    @precondition(lambda self: self.running is None)
    @rule(limit=st.integers(1, 4))
    def take(self, limit: int) -> None:
        self.running = self.it.take(limit)
        if self.running is not None:
            assert self.running.position == self.next
            assert self.running.offset(0) == next(each for each in self.polled if each >= self.next)

    @rule(limit=st.integers(1, 4))
    def see_ahead(self, limit: int) -> None:
        ahead = self.it.see_ahead(limit)
        assert ahead is None or (len(ahead) == limit and ahead.offset(0) >= ahead.position >= self.it.position)

    @precondition(lambda self: self.running is not None)
    @rule(share=st.floats(0, 1), retry=st.booleans())
    def finish(self, share: float, retry: bool) -> None:
        assert self.running is not None
        done = round(share * len(self.running))
        self.it.finish(self.running, Outcome(done, RetryAfter(1)) if retry else Outcome(done))
        self.next = self.running.next_offset if done == len(self.running) else self.running.position
        if 0 < done < len(self.running):
            self.next = self.running.offset(done)
        self.running = None

    @precondition(lambda self: self.running is not None)
    @rule(to=st.integers(0, 50))
    def seek(self, to: int) -> None:
        assert self.running is not None
        self.it.finish(self.running, Outcome(0, Seek(to)))
        self.it.sought()
        self.running = None
        self.next = self.log = to
        self.polled = []

    @invariant()
    def the_position_is_what_is_done(self) -> None:
        if hasattr(self, "it"):
            assert self.it.position == self.next

    @invariant()
    def work_is_never_forgotten(self) -> None:
        if hasattr(self, "it"):
            assert self.it.scheduled == (self.it.has_work() and self.running is None)


TestOnePartition = OnePartition.TestCase


@given(st.integers(1, 5000))
def test_limits_leave_room_between_pausing_and_resuming(batch: int) -> None:
    limits = QueueLimits.around(batch)
    assert batch <= limits.low < limits.high < limits.most


def test_nothing_is_left_once_the_end_is_told_and_all_is_done() -> None:
    it = lane()
    it.receive(messages([0, 1]))
    it.reached = 3  # behind the end of a transaction, which is no message
    assert it.lag() is None
    it.finish(took(it), Outcome(2))
    assert it.lag() == 0


def test_what_comes_after_the_end_was_told_is_left() -> None:
    it = lane()
    it.reached = 0
    assert it.lag() == 0
    it.receive(messages([0]))
    assert it.lag() is None
    it.end = 4
    assert it.lag() == 4


def test_after_a_move_the_end_must_be_told_anew() -> None:
    it = lane()
    it.receive(messages([0, 1]))
    it.reached = it.end = 2
    it.finish(took(it), Outcome(0, Seek(0)))
    it.sought()
    assert it.lag() is None


def test_an_old_end_says_nothing() -> None:
    it = lane()
    it.receive(messages([0, 1]))
    it.end = 1
    it.finish(took(it), Outcome(2))
    assert it.lag() is None
