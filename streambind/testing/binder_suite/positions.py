"""When a database is the authority for positions: the binder asks it where to start, and nobody else."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from streambind.binding.binder import Identity, Lane
from streambind.testing.binder_suite.bench import Bench
from streambind.testing.binder_suite.input import Input


class StoredPositions:
    """A position store in memory. `faster` is what another instance stores just before `adopt`."""

    def __init__(
        self,
        stored: Mapping[Lane, int] | None = None,
        *,
        identities: Mapping[Lane, Identity] | None = None,
        failures: int = 0,
    ) -> None:
        self._lock = threading.Lock()
        self._failures = failures
        self.stored = dict(stored or {})
        self.identities = dict(identities or {})
        self.told: dict[str, Identity] = {}
        """What was said of each destination last."""
        self.faster: dict[Lane, int] = {}
        self.offered: dict[Lane, tuple[int, str]] = {}
        self.failed = 0

    def read(self, lanes: Sequence[Lane]) -> Mapping[Lane, int]:
        with self._lock:
            self._maybe_fail()
            return {lane: self.stored[lane] for lane in lanes if lane in self.stored}

    def adopt(
        self, starts: Mapping[Lane, tuple[int, str]], identities: Mapping[str, Identity]
    ) -> Mapping[Lane, int]:
        with self._lock:
            self._maybe_fail()
            self.offered.update(starts)
            self.told.update(identities)
            for lane, (offset, _) in starts.items():
                if lane not in self.stored:
                    self.identities[lane] = identities[lane.destination]
                self.stored.setdefault(lane, self.faster.get(lane, offset))
            return {lane: self.stored[lane] for lane in starts}

    def identify(self, lanes: Sequence[Lane], identities: Mapping[str, Identity]) -> Mapping[Lane, Identity]:
        with self._lock:
            self._maybe_fail()
            self.told.update(identities)
            stored = [lane for lane in lanes if lane in self.stored]
            for lane in stored:
                if not self.identities.get(lane, Identity()).is_known:
                    self.identities[lane] = identities[lane.destination]
            return {lane: self.identities[lane] for lane in stored}

    def _maybe_fail(self) -> None:
        if self._failures > 0:
            self._failures -= 1
            self.failed += 1
            raise ConnectionError("the database is away")


class TestPositions:
    def test_a_stored_position_is_where_it_starts(self, bench: Bench) -> None:
        lane = lane_of_five(bench)
        it = bench.input(lane.destination, positions=StoredPositions({lane: 3}))
        bench.handled(it, [b"3", b"4"])
        assert it.deliveries[0].position == 3

    def test_each_partition_has_its_own(self, bench: Bench) -> None:
        bench.needs("positions")
        destination = bench.destination(partitions=2)
        for partition in range(2):
            bench.send(destination, b"0", b"1", b"2", partition=partition)
        stored = StoredPositions({Lane(destination, 0): 1, Lane(destination, 1): 2})
        it = bench.input(destination, positions=stored)
        bench.eventually(lambda: len(it.done) >= 3, lambda: f"done: {it.done}")
        assert sorted((m.partition, m.offset) for m in it.done) == [(0, 1), (0, 2), (1, 2)]

    def test_it_counts_more_than_what_the_broker_knows(self, bench: Bench) -> None:
        lane = lane_of_five(bench)
        group = _committed(bench, lane, 5)
        it = bench.input(lane.destination, group=group, positions=StoredPositions({lane: 2}))
        bench.handled(it, [b"2", b"3", b"4"])

    def test_a_position_at_the_end_waits_for_what_is_new(self, bench: Bench) -> None:
        lane = lane_of_five(bench)
        it = bench.input(lane.destination, positions=StoredPositions({lane: 5}))
        bench.ready(it, lane.destination)
        bench.send(lane.destination, b"5")
        bench.handled(it, [b"5"])

    def test_what_is_done_is_reported_to_the_broker_all_the_same(self, bench: Bench) -> None:
        lane = lane_of_five(bench)
        group = bench.group()
        it = bench.input(lane.destination, group=group, positions=StoredPositions({lane: 3}))
        bench.handled(it, [b"3", b"4"])
        bench.committed(group, lane.destination, {0: 5})


class TestAdoption:
    def test_the_groups_committed_offset_comes_first(self, bench: Bench) -> None:
        lane = lane_of_five(bench)
        group = _committed(bench, lane, 5)
        bench.send(lane.destination, b"5")
        positions = StoredPositions()
        it = bench.input(lane.destination, group=group, positions=positions, startOffset="earliest")
        bench.handled(it, [b"5"])
        assert positions.offered == {lane: (5, "committed")}
        assert positions.stored == {lane: 5}

    def test_else_the_beginning(self, bench: Bench) -> None:
        lane = lane_of_five(bench)
        positions = StoredPositions()
        bench.handled(bench.input(lane.destination, positions=positions), [b"0", b"1", b"2", b"3", b"4"])
        assert positions.offered == {lane: (0, "earliest")}

    def test_or_the_end_where_that_is_the_policy(self, bench: Bench) -> None:
        lane = lane_of_five(bench)
        positions = StoredPositions()
        it = bench.input(lane.destination, positions=positions, startOffset="latest")
        bench.ready(it, lane.destination)
        bench.send(lane.destination, b"new")
        bench.handled(it, [b"new"])
        assert positions.offered == {lane: (5, "latest")}

    def test_what_another_instance_stored_meanwhile_wins(self, bench: Bench) -> None:
        lane = lane_of_five(bench)
        positions = StoredPositions()
        positions.faster[lane] = 3
        bench.handled(bench.input(lane.destination, positions=positions), [b"3", b"4"])

    def test_an_empty_destination_is_adopted_at_once(self, bench: Bench) -> None:
        bench.needs("positions")
        destination = bench.destination()
        positions = StoredPositions()
        it = bench.input(destination, positions=positions)
        bench.ready(it, destination)
        assert positions.stored == {Lane(destination, 0): 0}


class TestPositionsAway:
    def test_they_are_asked_again_until_they_answer(self, bench: Bench) -> None:
        lane = lane_of_five(bench)
        positions = StoredPositions({lane: 3}, failures=3)
        it = bench.input(lane.destination, positions=positions)
        bench.handled(it, [b"3", b"4"])
        assert positions.failed == 3

    def test_adopting_is_tried_again_too(self, bench: Bench) -> None:
        lane = lane_of_five(bench)
        positions = _AwayWhenAdopting()
        it = bench.input(lane.destination, positions=positions)
        bench.handled(it, [b"0", b"1", b"2", b"3", b"4"])

    def test_people_can_see_it(self, bench: Bench) -> None:
        lane = lane_of_five(bench)
        it = bench.input(lane.destination, positions=StoredPositions(failures=1_000_000))
        bench.eventually(
            lambda: (state := it.state()) and state.retrying and "the database is away" in state.retrying,
            lambda: f"the state is {it.state()}",
        )
        assert it.seen == []

    def test_a_store_that_hangs_holds_up_nobody_who_looks(self, bench: Bench) -> None:
        lane = lane_of_five(bench)
        gate = bench.gate()
        positions = _Hanging(gate, {lane: 3})
        it = bench.input(lane.destination, positions=positions)
        bench.eventually(lambda: it.state(), "the partition is not assigned")
        state = it.state()
        assert state is not None
        assert state.position is None
        it.binding.pause()
        it.binding.resume()
        gate.set()
        bench.handled(it, [b"3", b"4"])


class TestRetention:
    def test_a_lost_position_stops_the_partition_visibly(self, bench: Bench) -> None:
        lane = lane_of_five(bench, "retention")
        bench.harness.delete_records(lane.destination, 0, 3)
        it = bench.input(lane.destination, positions=StoredPositions({lane: 1}))
        assert_lost(bench, it)

    def test_a_position_beyond_the_end_is_lost_too(self, bench: Bench) -> None:
        lane = lane_of_five(bench)
        it = bench.input(lane.destination, positions=StoredPositions({lane: 99}))
        assert_lost(bench, it)

    def test_a_binding_on_the_brokers_offsets_follows_its_start_policy(self, bench: Bench) -> None:
        bench.needs("groups")
        lane = lane_of_five(bench, "retention")
        group = bench.group()
        one = bench.input(lane.destination, group=group)
        bench.handled(one, [b"0", b"1", b"2", b"3", b"4"])
        one.unbind()
        bench.send(lane.destination, b"5", b"6", b"7")
        bench.harness.delete_records(lane.destination, 0, 7)
        two = bench.input(lane.destination, group=group, moves=True)
        bench.handled(two, [b"7"])

    def test_adoption_begins_at_what_is_left(self, bench: Bench) -> None:
        lane = lane_of_five(bench, "retention")
        bench.harness.delete_records(lane.destination, 0, 2)
        positions = StoredPositions()
        bench.handled(bench.input(lane.destination, positions=positions), [b"2", b"3", b"4"])
        assert positions.offered == {lane: (2, "earliest")}


class _AwayWhenAdopting(StoredPositions):
    def __init__(self) -> None:
        super().__init__()
        self._tries = 0

    def adopt(
        self, starts: Mapping[Lane, tuple[int, str]], identities: Mapping[str, Identity]
    ) -> Mapping[Lane, int]:
        self._tries += 1
        if self._tries < 3:
            raise ConnectionError("the database is away")
        return super().adopt(starts, identities)


class _Hanging(StoredPositions):
    def __init__(self, gate: threading.Event, stored: Mapping[Lane, int]) -> None:
        super().__init__(stored)
        self._gate = gate

    def read(self, lanes: Sequence[Lane]) -> Mapping[Lane, int]:
        self._gate.wait()
        return super().read(lanes)


def lane_of_five(bench: Bench, *needs: str) -> Lane:
    """The only partition of a destination that holds the messages 0 to 4."""
    bench.needs("positions", *needs)
    destination = bench.destination()
    bench.send(destination, *(b"%d" % n for n in range(5)))
    return Lane(destination, 0)


def _committed(bench: Bench, lane: Lane, offset: int) -> str:
    """A group that has handled everything up to the offset."""
    group = bench.group()
    it = bench.input(lane.destination, group=group)
    bench.eventually(lambda: len(it.done) == offset, lambda: f"{len(it.done)} of {offset} done")
    it.unbind()
    bench.committed(group, lane.destination, {0: offset})
    return group


def assert_lost(bench: Bench, it: Input, *texts: str) -> None:
    bench.eventually(
        lambda: (state := it.state()) and state.stalled and "Error: " in state.stalled,
        lambda: f"the state is {it.state()}",
    )
    state = it.state()
    assert state is not None
    for text in (*(texts or ("PositionLostError",)), "streambind positions reset TARGET"):
        assert text in (state.stalled or "")
    assert it.seen == []
