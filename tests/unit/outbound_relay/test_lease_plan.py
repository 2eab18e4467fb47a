"""Who takes which shard, for any number of relays in any order of their rounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from streambind.outbound.lease import LeaseRow, plan_round, share
from streambind.persistence.tables import SHARDS

LEASE_MS = 10_000
# A loaded machine is slow; that is no failure.
unhurried = settings(deadline=None)
owners = st.lists(st.text("abcdefghij", min_size=1, max_size=6), min_size=1, max_size=20, unique=True)


@dataclass
class Table:
    """`sb_lease` in memory, and what `Leases` does with a plan."""

    now_ms: int = 1_000_000
    rows: dict[int, LeaseRow] = field(default_factory=lambda: {s: LeaseRow(s, None, 0) for s in range(SHARDS)})

    def round(self, owner: str, busy: Iterable[int] = ()) -> set[int]:
        """One relay's round; returns what it holds afterwards."""
        plan = plan_round(sorted(self.rows.values()), owner, self.now_ms, set(busy), lease_ms=LEASE_MS)
        mine = (*plan.take, *plan.keep, *plan.surplus)
        for shard in plan.take:
            before = self.rows[shard]
            assert before.owner in (None, owner) or before.expires_ms < self.now_ms, "took a running lease"
        for shard in mine:
            self.rows[shard] = LeaseRow(shard, owner, self.now_ms + LEASE_MS)
        for shard in plan.release:
            self.rows[shard] = LeaseRow(shard, None, 0)
        for seat in plan.stale_seats:
            del self.rows[seat]
        seats = [r.shard for r in self.rows.values() if r.shard >= SHARDS and r.owner == owner]
        for seat in seats if plan.seat is None else [plan.seat]:
            self.rows[seat] = LeaseRow(seat, owner, self.now_ms + LEASE_MS)
        return set(mine)

    def held(self) -> Counter[str]:
        """How many shards each owner holds."""
        return Counter(
            r.owner for r in self.rows.values() if r.shard < SHARDS and r.owner and r.expires_ms >= self.now_ms
        )


@unhurried
@given(owners)
def test_shares_add_up_to_all_shards_and_differ_by_one_at_most(names: list[str]) -> None:
    shares = [share(name, names) for name in names]

    assert sum(shares) == SHARDS
    assert max(shares) - min(shares) <= 1


def test_a_single_relay_takes_all_shards_in_its_first_round() -> None:
    assert Table().round("a") == set(range(SHARDS))


@unhurried
@given(owners, st.randoms(use_true_random=False))
def test_any_number_of_relays_share_fairly_after_three_rounds_in_any_order(
    names: list[str], random: object
) -> None:
    table = Table()
    shuffle = random.shuffle  # type: ignore[attr-defined]

    # In the first round each sits down, in the second surplus goes, in the third it is taken.
    for _ in range(3):
        order = list(names)
        shuffle(order)
        for name in order:
            table.now_ms += 10
            table.round(name)

    assert {name: table.held()[name] for name in names} == {name: share(name, names) for name in names}


@unhurried
@given(owners, st.data())
def test_nobody_takes_a_running_lease_whatever_the_order_and_the_pauses(
    names: list[str], data: st.DataObject
) -> None:
    table = Table()

    for _ in range(30):
        table.now_ms += data.draw(st.sampled_from([0, 1, 3000, LEASE_MS + 1]))
        table.round(data.draw(st.sampled_from(names)))  # asserts it in Table.round

    assert table.held().total() <= SHARDS


@unhurried
@given(owners.filter(lambda names: len(names) > 1), st.data())
def test_the_shards_of_a_dead_relay_are_taken_over_once_they_have_expired(
    names: list[str], data: st.DataObject
) -> None:
    table = Table()
    for name in names * 3:
        table.round(name)
    dead = data.draw(st.sampled_from(names))
    living = [name for name in names if name != dead]

    for _ in range(3):
        table.now_ms += LEASE_MS // 3
        for name in living:
            table.round(name)
        assert table.held()[dead] == share(dead, names)

    table.now_ms += LEASE_MS // 3
    for name in living * 3:
        table.round(name)

    assert table.held() == {name: n for name in living if (n := share(name, living))}
    assert [r.owner for r in table.rows.values() if r.shard >= SHARDS].count(dead) == 0


def test_surplus_in_flight_is_kept_until_it_is_idle() -> None:
    table = Table()
    table.round("a")
    table.round("b")

    assert table.round("a", busy=range(SHARDS)) == set(range(SHARDS))

    plan = plan_round(sorted(table.rows.values()), "a", table.now_ms, {0, 1, 2, 15}, lease_ms=LEASE_MS)
    assert {0, 1, 2, 15} <= set(plan.keep)
    assert len(plan.keep) == SHARDS // 2
    assert plan.surplus == ()
    assert len(plan.release) == SHARDS // 2


def test_more_shards_in_flight_than_the_share_are_surplus_and_not_released() -> None:
    table = Table()
    table.round("a")
    table.round("b")

    plan = plan_round(sorted(table.rows.values()), "a", table.now_ms, set(range(10)), lease_ms=LEASE_MS)

    assert plan.keep == tuple(range(8))
    assert plan.surplus == (8, 9)
    assert plan.release == tuple(range(10, SHARDS))


def test_seats_are_numbered_from_the_number_of_shards_and_used_again() -> None:
    table = Table()
    for name in "abc":
        table.round(name)
    table.now_ms += LEASE_MS + 1

    table.round("d")

    assert {r.shard: r.owner for r in table.rows.values() if r.shard >= SHARDS} == {SHARDS + 3: "d"}
    table.round("e")
    assert table.rows[SHARDS].owner == "e"


def test_an_expiry_that_no_relay_can_have_written_by_this_clock_is_no_lease() -> None:
    table = Table()
    table.round("dead")
    table.now_ms -= 24 * 3_600_000

    plan = plan_round(sorted(table.rows.values()), "a", table.now_ms, (), lease_ms=LEASE_MS)

    assert set(plan.take) == set(range(SHARDS))
    assert plan.stale_seats == (SHARDS,)


def test_a_relay_with_a_longer_lease_time_keeps_its_shards() -> None:
    table = Table()
    for shard in table.rows:
        table.rows[shard] = LeaseRow(shard, "b", table.now_ms + 9 * LEASE_MS)

    plan = plan_round(sorted(table.rows.values()), "a", table.now_ms, (), lease_ms=LEASE_MS)

    assert plan.take == ()
