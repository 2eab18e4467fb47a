"""One word for how an application fares, and the reasons."""

from __future__ import annotations

import importlib
import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert

from streambind import StreamApplication
from streambind.binding.binder import Lane
from streambind.binding.binding import BindingState
from streambind.event_loop import EventLoop
from streambind.inbound.commit_times import CommitTimes
from streambind.inbound.parked_status import ParkedStatus
from streambind.inbound.statistics import DeliveryStatistics, Figures
from streambind.management import HealthStatus, health
from streambind.outbound.relay_state import RelayState, RelayStatus
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables
from streambind.testing.eventually import eventually
from tests.unit.inbound.batches import ListBatch, record
from tests.unit.management.applications import StagedApplication, an_input, partition

UP, DEGRADED, DOWN = HealthStatus.UP, HealthStatus.DEGRADED, HealthStatus.DOWN


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database.from_url(f"sqlite:///{tmp_path / 'service.db'}", loop=EventLoop())
    create_tables(made)
    yield made
    made.dispose()


@pytest.mark.parametrize(
    ("binding", "word"),
    [
        (an_input(partition(0)), UP),
        (an_input(), UP),
        (an_input(state=BindingState.STOPPED), UP),
        (an_input(state=BindingState.PAUSED), UP),
        (an_input(state=BindingState.WAITING, last_error="broker away"), DEGRADED),
        (an_input(partition(0), partition(1, retrying="again in 2 s")), DEGRADED),
        (an_input(partition(0, stalled="a gap")), DOWN),
        (an_input(partition(0, stalled="a gap"), partition(1, retrying="again")), DOWN),
        (an_input(state=BindingState.FAILED, last_error="no permission"), DOWN),
    ],
)
def test_a_binding_is_as_well_as_its_partitions(binding: object, word: HealthStatus) -> None:
    report = health(StagedApplication([binding]).as_application())  # type: ignore[list-item]
    assert (report.status, report.bindings[0].status) == (word, word)


def test_an_input_whose_topic_is_gone_is_degraded_until_it_is_assigned_again() -> None:
    error = "UNKNOWN_TOPIC_OR_PART (Subscribed topic not available: a)"
    report = health(StagedApplication([an_input(last_error=error)]).as_application())
    assert report.status is DEGRADED
    assert (report.bindings[0].last_error or "").startswith("nothing is assigned: a does not exist")
    again = health(StagedApplication([an_input(partition(0), last_error=error)]).as_application())
    assert (again.status, again.bindings[0].last_error) == (UP, error)


def test_trouble_of_a_delivery_degrades_until_it_is_over() -> None:
    application = StagedApplication([an_input(partition(0))], {"in-a": Figures(handled=3, degraded_since=1.0)})
    assert health(application.as_application()).status is DEGRADED
    application.counted["in-a"] = Figures(handled=4, last_error="was away")
    report = health(application.as_application())
    assert report.status is UP
    assert report.bindings[0].last_error == "was away"
    assert report.bindings[0].counts["handled"] == 4


@pytest.mark.parametrize(("longest_s", "word"), [(29.0, UP), (31.0, DEGRADED)])
def test_a_delivery_that_does_not_end_degrades(longest_s: float, word: HealthStatus) -> None:
    application = StagedApplication([an_input(partition(0))], {"in-a": Figures(longest_s=longest_s)})
    report = health(application.as_application())
    assert report.status is word
    assert ("has run for 31 s" in (report.bindings[0].last_error or "")) is (word is DEGRADED)


def test_deliveries_that_run_are_timed_until_they_end() -> None:
    statistics, lane = DeliveryStatistics(), Lane("a", 0)
    with statistics.delivering(lane):
        eventually(lambda: statistics.figures().longest_s > 0, 10, "it is not timed")
    assert statistics.figures().longest_s == 0


def _fresh(application: StagedApplication) -> tuple[float | None, list[tuple[int | None, float | None]]]:
    (found,) = health(application.as_application()).bindings
    return found.behind_s, [(each.lag, each.behind_s) for each in found.freshness.values()]


def test_an_input_at_the_end_of_the_log_is_not_behind() -> None:
    assert _fresh(StagedApplication([an_input(partition(0, lag=0))])) == (0.0, [(0, 0.0)])


def test_how_far_behind_is_unknown_where_nothing_has_come() -> None:
    staged = StagedApplication([an_input(partition(0, lag=0), partition(1, lag=5), partition(2))])
    assert _fresh(staged) == (None, [(0, 0.0), (5, None), (None, None)])


def test_a_partition_that_goes_on_while_the_database_is_asked_is_known_all_the_same(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = CommitTimes()
    batch = ListBatch([record({}, "k", **{"sb-committed": str(time.time_ns() // 1_000_000 - 60_000)})], 6)
    times.begins(Lane("a", 0), batch)
    times.ends(Lane("a", 0), batch, 1)
    staged = StagedApplication(
        [an_input(partition(0))], database=database, parking={"in-a"}, times={"in-a": times}
    )

    def slow(_: Database) -> dict[tuple[str, str], ParkedStatus]:
        times.begins(Lane("a", 0), ListBatch([record({}, "k")], 9))
        return {}

    # The package has a function of the module's name.
    monkeypatch.setattr(importlib.import_module("streambind.management.health"), "parked_status", slow)
    assert (_fresh(staged)[0] or 0) >= 60


def test_an_input_without_partitions_does_not_know_how_far_behind_it_is() -> None:
    assert _fresh(StagedApplication([an_input()])) == (None, [])


def test_an_input_is_as_far_behind_as_the_partition_furthest_behind() -> None:
    now_ms = time.time_ns() // 1_000_000
    times = CommitTimes()
    for number, seconds in enumerate((60, 5)):
        batch = ListBatch([record({}, **{"sb-committed": str(now_ms - seconds * 1000)})], 7, "a", number)
        times.begins(Lane("a", number), batch)
    staged = StagedApplication([an_input(partition(0, lag=1), partition(1))], times={"in-a": times})
    behind, of_each = _fresh(staged)
    assert behind is not None
    assert 60 <= behind < 65
    assert [lag for lag, _ in of_each] == [1, None]
    assert [round(each or 0) // 5 for _, each in of_each] == [12, 1]


def test_the_worst_binding_decides() -> None:
    waiting, stalled = an_input(state=BindingState.WAITING), an_input(partition(0, stalled="a gap"))
    assert health(StagedApplication([an_input(), waiting]).as_application()).status is DEGRADED
    assert health(StagedApplication([stalled, waiting, an_input()]).as_application()).status is DOWN


def test_partitions_of_several_destinations_are_told_apart() -> None:
    binding = an_input(
        partition(10), partition(2, stalled="a gap"), partition(2, destination="b", retrying="again in 1 s")
    )
    [found] = health(StagedApplication([binding]).as_application()).bindings
    assert found.assigned == ("a[2]", "a[10]", "b[2]")
    assert (found.stalled, found.retrying) == ({"a[2]": "a gap"}, {"b[2]": "again in 1 s"})


def test_an_application_that_does_not_run_is_down(tmp_path: Path) -> None:
    (tmp_path / "application.yaml").write_text("spring.cloud.stream.bindings.out-a.destination: a\n")
    report = health(StreamApplication(tmp_path, arguments=[]))
    assert (report.status, report.running, report.bindings) == (DOWN, False, ())


@pytest.mark.parametrize(
    ("relay", "word"),
    [
        (RelayStatus.RUNNING, UP),
        (RelayStatus.STOPPED, UP),
        (RelayStatus.DEGRADED, DEGRADED),
        (RelayStatus.FAILED, DOWN),
    ],
)
def test_the_outbox_is_as_well_as_its_relay(database: Database, relay: RelayStatus, word: HealthStatus) -> None:
    application = StagedApplication(database=database, relay=RelayState(relay, last_error="x"))
    report = health(application.as_application())
    assert report.outbox is not None
    assert (report.status, report.outbox.status, report.outbox.last_error) == (word, word, "x")


def test_backlog_and_age_are_the_databases(database: Database) -> None:
    row = {
        "shard": 0,
        "binding": "out-a",
        "destination": "a",
        "event_id": uuid.uuid4(),
        "headers": "[]",
        "created_ms": database.dialect.now_ms - 60_000,
    }
    database.run(lambda connection: connection.execute(insert(database.tables.outbox).values(**row)))
    report = health(StagedApplication(database=database, relay=RelayState(RelayStatus.RUNNING)).as_application())
    assert report.outbox is not None
    assert report.outbox.backlog == 1
    assert 60_000 <= (report.outbox.oldest_age_ms or 0) < 90_000


def test_a_blocked_key_needs_somebody(database: Database) -> None:
    row = {"destination": "a", "key": b"1", "reason": "too large", "since_ms": 0}
    database.run(lambda connection: connection.execute(insert(database.tables.blocked).values(**row)))
    report = health(StagedApplication(database=database, relay=RelayState(RelayStatus.RUNNING)).as_application())
    assert report.outbox is not None
    assert (report.status, report.outbox.blocked) == (DOWN, 1)


def test_a_database_that_is_away_degrades(tmp_path: Path) -> None:
    away = Database.from_url(f"sqlite:///{tmp_path / 'no' / 'service.db'}", loop=EventLoop())
    relay = RelayState(RelayStatus.DEGRADED, backlog=5)
    report = health(StagedApplication(database=away, relay=relay).as_application())
    assert report.outbox is not None
    assert (report.status, report.outbox.backlog) == (DEGRADED, 5)
    assert "there is no folder" in (report.outbox.last_error or "")


def test_a_report_is_plain_json() -> None:
    application = StagedApplication([an_input(partition(0, stalled="a gap"))], {"in-a": Figures()})
    document = json.loads(json.dumps(health(application.as_application()).as_dict()))
    assert document["status"] == "down"
    assert document["bindings"][0]["stalled"] == {"a[0]": "a gap"}


def _park(database: Database, state: str, key: bytes, *, group: str = "g", destination: str = "a") -> None:
    now_ms = database.dialect.now_ms
    row = {
        "group_name": group,
        "destination": destination,
        "key": key,
        "state": state,
        "attempts": 1,
        "next_ms": 0,
        "messages": 2,
        "error_class": "ValueError",
        "error_text": "x",
        "since_ms": now_ms - 60_000,
        "updated_ms": now_ms,
    }
    database.run(lambda connection: connection.execute(insert(database.tables.parked_key).values(**row)))


@pytest.mark.parametrize("state", ["retry", "gap", "dead"])
def test_parked_keys_degrade_their_binding_and_are_counted(database: Database, state: str) -> None:
    _park(database, state, b"1")
    _park(database, "dead", b"2", group="others")
    _park(database, "dead", b"2", destination="b")
    report = health(StagedApplication([an_input()], database=database, parking={"in-a"}).as_application())
    parked = report.bindings[0].parked
    assert parked is not None
    assert (parked.keys, parked.gaps, parked.dead) == (state != "dead", state == "gap", state == "dead")
    assert parked.messages == 2
    assert 60_000 <= (parked.oldest_ms or 0) < 90_000
    assert (report.status, report.bindings[0].status) == (DEGRADED, DEGRADED)


def test_where_nothing_is_parked_all_is_well(database: Database) -> None:
    _park(database, "dead", b"2", group="others")
    report = health(StagedApplication([an_input()], database=database, parking={"in-a"}).as_application())
    assert report.bindings[0].parked is None
    assert report.status is HealthStatus.UP


def test_parked_keys_that_cannot_be_counted_degrade(tmp_path: Path) -> None:
    away = Database.from_url(f"sqlite:///{tmp_path / 'no' / 'service.db'}", loop=EventLoop())
    report = health(StagedApplication([an_input()], database=away, parking={"in-a"}).as_application())
    assert report.status is DEGRADED
    assert "parked keys cannot be counted" in (report.bindings[0].last_error or "")
