"""Leases on real databases, with a clock that the test moves."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select, update

from streambind.outbound.lease import LeaseRow, Leases
from streambind.persistence.database import Database
from streambind.persistence.tables import SHARDS
from tests.integration.relay.conftest import DatabaseClock

ALL = frozenset(range(SHARDS))
LEASE_MS = 9000


class LocalClock:
    """This process's monotonic clock, in seconds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _leases(database: Database, owner: str) -> Leases:
    return Leases(database, owner, lease_ms=LEASE_MS, clock=LocalClock())


def _rows(database: Database) -> list[LeaseRow]:
    lease = database.tables.lease
    return database.run(lambda c: [LeaseRow(*row) for row in c.execute(select(lease).order_by(lease.c.shard))])


def test_one_relay_takes_everything_and_says_what_is_new(
    database: Database, database_clock: DatabaseClock
) -> None:
    leases = _leases(database, "a")

    assert leases.round(()) == ALL
    assert leases.round(()) == frozenset()
    assert leases.held == ALL
    assert {row.owner for row in _rows(database)} == {"a"}
    assert len(_rows(database)) == SHARDS + 1


def test_it_is_valid_from_before_the_asking_and_due_after_a_third(database: Database) -> None:
    clock = LocalClock()
    leases = Leases(database, "a", lease_ms=LEASE_MS, clock=clock)

    leases.round(())

    assert leases.valid_until == 109.0
    assert leases.due_at == 103.0


def test_a_second_relay_gets_half_once_the_first_has_let_go(
    database: Database, database_clock: DatabaseClock
) -> None:
    first, second = _leases(database, "a"), _leases(database, "b")
    first.round(())

    assert second.round(()) == frozenset()
    first.round(())
    second.round(())

    assert len(first.held) == len(second.held) == SHARDS // 2
    assert first.held | second.held == ALL


def test_what_is_in_flight_is_retiring_until_it_is_not(database: Database, database_clock: DatabaseClock) -> None:
    first, second = _leases(database, "a"), _leases(database, "b")
    first.round(())
    second.round(())

    first.round(range(10))
    assert first.held == frozenset(range(8))
    assert first.retiring == frozenset({8, 9})
    assert second.round(()) == frozenset(range(10, SHARDS))

    first.round(range(8))
    assert first.retiring == frozenset()
    assert second.round(()) == frozenset({8, 9})


def test_the_shards_of_a_dead_relay_come_free_by_time_alone(
    database: Database, database_clock: DatabaseClock
) -> None:
    dead, living = _leases(database, "a"), _leases(database, "b")
    dead.round(())

    database_clock.advance(LEASE_MS)
    assert living.round(()) == frozenset()
    database_clock.advance(1)
    assert living.round(()) == ALL
    assert [row.owner for row in _rows(database)] == ["b"] * (SHARDS + 1)


def test_renewing_keeps_them_for_ever(database: Database, database_clock: DatabaseClock) -> None:
    owner, other = _leases(database, "a"), _leases(database, "b")
    owner.round(())

    for _ in range(5):
        database_clock.advance(LEASE_MS // 3)
        owner.round(())
        assert not other.held


def test_releasing_makes_room_at_once(database: Database, database_clock: DatabaseClock) -> None:
    first, second = _leases(database, "a"), _leases(database, "b")
    first.round(())
    first.release()

    assert second.round(()) == ALL
    assert first.held == frozenset()
    second.release()
    assert _rows(database) == [LeaseRow(shard, None, 0) for shard in range(SHARDS)]


def test_a_stolen_lease_is_noticed_in_the_next_round(database: Database, database_clock: DatabaseClock) -> None:
    leases = _leases(database, "a")
    leases.round(())
    lease = database.tables.lease
    database.run(lambda c: c.execute(update(lease).where(lease.c.shard == 3).values(owner="thief")))

    leases.round(())

    assert 3 not in leases.held
    assert 3 not in leases.retiring


@pytest.mark.parametrize("relays", [2, 5])
def test_rounds_at_the_same_time_never_give_one_shard_to_two(database: Database, relays: int) -> None:
    """Real clock, real threads: every shard has one owner, and everybody has a share in the end."""
    everybody = [_leases(database, f"relay-{n}") for n in range(relays)]
    failures: list[BaseException] = []

    def rounds(leases: Leases) -> None:
        try:
            for _ in range(10):
                leases.round(())
        except BaseException as error:  # noqa: BLE001 - a thread's error is the test's
            failures.append(error)

    threads = [threading.Thread(target=rounds, args=(leases,)) for leases in everybody]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for leases in everybody * 2:
        leases.round(())

    assert failures == []
    assert sorted(shard for leases in everybody for shard in leases.held) == sorted(ALL)
    assert {len(leases.held) for leases in everybody} <= {SHARDS // relays, SHARDS // relays + 1}
    owners = {row.shard: row.owner for row in _rows(database)}
    for n, leases in enumerate(everybody):
        assert {owners[shard] for shard in leases.held} == {f"relay-{n}"}


def test_leases_of_a_dead_relay_are_taken_when_the_clock_was_set_back_far(
    database: Database, database_clock: DatabaseClock
) -> None:
    database_clock.advance(24 * 3_600_000)
    _leases(database, "dead").round(())
    database_clock.advance(-24 * 3_600_000)

    leases = _leases(database, "a")

    assert leases.round(()) == ALL
    assert {row.owner for row in _rows(database)} == {"a"}


def test_it_says_so_when_nobody_renews_the_shards_and_they_do_not_expire(
    database: Database, database_clock: DatabaseClock
) -> None:
    database_clock.advance(5 * LEASE_MS)
    _leases(database, "dead").round(())
    database_clock.advance(-5 * LEASE_MS)
    clock = LocalClock()
    leases = Leases(database, "a", lease_ms=LEASE_MS, clock=clock)

    for _ in range(5):
        assert leases.round(()) == frozenset()
        assert (leases.stalled is not None) is (clock.now > 109)
        clock.now += 3
    assert leases.stalled is not None
    assert "dead" in leases.stalled
    assert "12 s" in leases.stalled

    database_clock.advance(7 * LEASE_MS)
    assert leases.round(()) == ALL
    assert leases.stalled is None


def test_a_relay_beside_one_that_renews_is_not_stalled(database: Database, database_clock: DatabaseClock) -> None:
    clock, first = LocalClock(), _leases(database, "a")
    first.round(())
    second = Leases(database, "b", lease_ms=LEASE_MS, clock=clock)

    for _ in range(5):
        first.round(range(SHARDS))
        second.round(())
        database_clock.advance(3000)
        clock.now += 3
        assert second.stalled is None
    assert second.held == frozenset()


def test_a_tenure_lasts_until_somebody_else_may_have_held_the_shard(
    database: Database, database_clock: DatabaseClock
) -> None:
    one, other = _leases(database, "a"), _leases(database, "b")
    one.round(())
    first = dict(one.tenures)
    assert set(first) == ALL
    database_clock.advance(LEASE_MS * 2)
    one.round(())
    assert one.tenures == first, "expired, and nobody has taken it"

    database_clock.advance(LEASE_MS * 2)
    other.round(())
    database_clock.advance(LEASE_MS * 2)
    one.round(())
    assert set(one.tenures) == ALL
    assert not set(one.tenures.values()) & set(first.values())


def test_what_is_begun_anew_has_a_new_tenure_and_is_asked_for_soon(database: Database) -> None:
    leases = _leases(database, "a")
    leases.round(())
    before = dict(leases.tenures)

    leases.begin_anew({3, 5})

    assert {shard for shard in ALL if leases.tenures[shard] != before[shard]} == {3, 5}
    assert leases.due_at == 0.0
    leases.release()
    assert leases.tenures == {}
