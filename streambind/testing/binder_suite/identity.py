"""Positions belong to a destination: of another one of the same name, or at another broker, they mean nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streambind.binding.binder import Identity, Lane
from streambind.testing.binder_suite.bench import TIMEOUT_MS, Bench
from streambind.testing.binder_suite.positions import StoredPositions, assert_lost, lane_of_five


class TestIdentity:
    def test_a_first_position_is_kept_with_its_destinations_identity(self, bench: Bench) -> None:
        lane = lane_of_five(bench)
        positions = StoredPositions()
        bench.handled(bench.input(lane.destination, positions=positions), [b"0", b"1", b"2", b"3", b"4"])
        assert positions.identities == {lane: _identity(bench, lane)}

    def test_a_position_without_one_gets_it(self, bench: Bench) -> None:
        lane = lane_of_five(bench)
        positions = StoredPositions({lane: 3})
        bench.handled(bench.input(lane.destination, positions=positions), [b"3", b"4"])
        assert positions.identities == {lane: _identity(bench, lane)}

    def test_it_stays_the_same_for_one_that_goes_on(self, bench: Bench) -> None:
        lane = lane_of_five(bench)
        positions = StoredPositions({lane: 3}, identities={lane: _identity(bench, lane)})
        bench.handled(bench.input(lane.destination, positions=positions), [b"3", b"4"])

    def test_a_position_of_another_destination_of_that_name_stops_the_partition(self, bench: Bench) -> None:
        lane = lane_of_five(bench)
        was = replace(_identity(bench, lane), destination="another")
        it = bench.input(lane.destination, positions=StoredPositions({lane: 3}, identities={lane: was}))
        assert_lost(bench, it, "DestinationReplacedError", "was made anew")

    def test_a_position_at_another_broker_stops_the_partition(self, bench: Bench) -> None:
        lane = lane_of_five(bench)
        now = _identity(bench, lane)
        if now.cluster is None:
            pytest.skip("the broker has no identity of its own")
        was = replace(now, cluster="another")
        it = bench.input(lane.destination, positions=StoredPositions({lane: 3}, identities={lane: was}))
        assert_lost(bench, it, "DestinationReplacedError", f"cluster {now.cluster}")

    def test_one_made_anew_while_nothing_ran_stops_the_partition(self, bench: Bench) -> None:
        lane = lane_of_five(bench, "replacement")
        positions = StoredPositions()
        it = bench.input(lane.destination, positions=positions)
        bench.handled(it, [b"0", b"1", b"2", b"3", b"4"])
        it.unbind()
        bench.harness.make_anew(lane.destination)
        bench.send(lane.destination, *(b"%d" % n for n in range(10)))
        again = bench.input(lane.destination, positions=positions)
        assert_lost(bench, again, "DestinationReplacedError", "was made anew")

    def test_whether_the_destination_is_compacted_is_told(self, bench: Bench) -> None:
        lane = lane_of_five(bench, "compaction")
        first, later = StoredPositions(), StoredPositions({lane: 3})
        bench.handled(bench.input(lane.destination, positions=first), [b"0", b"1", b"2", b"3", b"4"])
        assert not first.told[lane.destination].is_compacted
        bench.harness.make_compacted(lane.destination)
        bench.handled(bench.input(lane.destination, positions=later), [b"3", b"4"])
        assert later.told[lane.destination].is_compacted
        first = StoredPositions()
        bench.handled(bench.input(lane.destination, positions=first), [b"0", b"1", b"2", b"3", b"4"])
        assert first.told[lane.destination].is_compacted


def _identity(bench: Bench, lane: Lane) -> Identity:
    info = bench.main.describe(lane.destination, TIMEOUT_MS)
    assert info is not None
    if not info.identity.is_known:
        pytest.skip("the broker does not tell the identity of a destination")
    return info.identity
