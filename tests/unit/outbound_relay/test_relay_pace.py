"""When a relay reads."""

from __future__ import annotations

import pytest

from streambind.errors import BrokerUnavailableError
from streambind.outbound.lease import Hold
from streambind.outbound.relay_pace import Pace
from tests.unit.outbound_relay.conftest import SOURCE, Bench
from tests.unit.outbound_relay.producer import ScriptedProducer
from tests.unit.outbound_relay.rows import row


def test_while_there_is_nothing_the_pauses_grow_to_the_poll_interval(bench: Bench) -> None:
    pace = Pace(longest_poll_s=0.3)
    pauses = []
    for _ in range(5):
        assert pace.should_read(bench.now, bench.lanes, freed=False)
        pace.woken = False
        pace.has_read(bench.now, bench.lanes, rows=0, full=False, took_s=0.0)
        at = pace.next_at(bench.now, bench.lanes)
        pauses.append(round(at - bench.now, 3))
        assert not pace.should_read(bench.now, bench.lanes, freed=False)
        bench.now = at

    assert pauses == [0.1, 0.2, 0.3, 0.3, 0.3]


def test_waking_and_free_lanes_read_at_once(bench: Bench) -> None:
    pace = Pace(longest_poll_s=1.0)
    pace.woken = False
    pace.has_read(bench.now, bench.lanes, rows=0, full=False, took_s=0.0)
    assert not pace.should_read(bench.now, bench.lanes, freed=False)

    assert pace.should_read(bench.now, bench.lanes, freed=True)
    pace.woken = True
    assert pace.should_read(bench.now, bench.lanes, freed=False)
    assert pace.next_at(bench.now, bench.lanes) == bench.now


def test_once_nothing_is_under_way_the_next_poll_is_near(bench: Bench) -> None:
    pace = Pace(longest_poll_s=1.0)
    pace.woken = False
    pace.has_read(bench.now, bench.lanes, rows=1, full=False, took_s=0.0)
    assert pace.next_at(bench.now, bench.lanes) == bench.now + 1.0

    pace.has_reported(bench.now, bench.lanes)

    assert not pace.should_read(bench.now, bench.lanes, freed=False)
    assert pace.next_at(bench.now, bench.lanes) == bench.now + 0.05


def test_what_comes_while_a_destination_is_busy_is_read_at_once(bench: Bench) -> None:
    held = ScriptedProducer()
    held.hold()
    bench.producers = {"a": held}
    pace = Pace(longest_poll_s=1.0)
    pace.woken = False
    pace.has_read(bench.now, bench.lanes, rows=1, full=False, took_s=0.2)
    bench.lanes.dispatch([row(destination="a")], SOURCE, Hold(bench.now + 10, {}))

    assert not pace.should_read(bench.now, bench.lanes, freed=False)
    pace.woken = True
    assert pace.should_read(bench.now, bench.lanes, freed=False)
    assert pace.next_at(bench.now, bench.lanes) == bench.now


def test_a_full_destination_alone_is_not_read_past_again_and_again(bench: Bench) -> None:
    held = ScriptedProducer()
    held.hold()
    bench.producers = {"a": held, "b": ScriptedProducer()}
    pace = Pace(longest_poll_s=1.0)
    pace.has_read(bench.now, bench.lanes, rows=1, full=False, took_s=0.2)
    for _ in range(2):
        bench.lanes.dispatch([row(destination="a")], SOURCE, Hold(bench.now + 10, {}))
    pace.woken = True

    assert not pace.should_read(bench.now + 0.9, bench.lanes, freed=False)
    assert pace.should_read(bench.now + 1.0, bench.lanes, freed=False)


def test_a_side_read_for_an_open_destination_waits_four_times_as_long_as_the_last_one_took(bench: Bench) -> None:
    held = ScriptedProducer()
    held.hold()
    bench.producers = {"a": held, "b": ScriptedProducer()}
    bench.send("b")
    pace = Pace(longest_poll_s=1.0)
    pace.has_read(bench.now, bench.lanes, rows=1, full=False, took_s=0.1)
    for _ in range(2):
        bench.lanes.dispatch([row(destination="a")], SOURCE, Hold(bench.now + 10, {}))
    pace.woken = True

    assert not pace.should_read(bench.now + 0.39, bench.lanes, freed=False)
    assert pace.next_at(bench.now, bench.lanes) == pytest.approx(bench.now + 0.4)
    assert pace.should_read(bench.now + 0.41, bench.lanes, freed=False)


def test_a_held_back_destination_is_read_when_its_time_comes(bench: Bench) -> None:
    bench.producers = {"a": BrokerUnavailableError("away")}
    bench.send("a")
    (at,) = bench.lanes.held_back().values()
    pace = Pace(longest_poll_s=60.0)
    pace.woken = False
    pace.has_read(bench.now, bench.lanes, rows=0, full=False, took_s=0.0)
    pace.has_read(bench.now, bench.lanes, rows=0, full=False, took_s=0.0)

    assert pace.next_at(bench.now, bench.lanes) == at
    assert not pace.should_read(bench.now, bench.lanes, freed=False)
    assert pace.should_read(at, bench.lanes, freed=False)

    bench.lanes.forget_trouble(frozenset({"a"}))
    pace.woken = False
    assert not pace.should_read(at, bench.lanes, freed=False)
