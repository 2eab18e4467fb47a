"""Assignment is balanced, sticky and cooperative."""

from __future__ import annotations

from streambind.binders.memory.group import Group, Member
from streambind.binding.binder import Lane

LANES = [Lane("d", partition) for partition in range(6)]


def group_of(*names: str, lanes: list[Lane] = LANES) -> Group:
    group = Group()
    for name in names:
        join(group, name, lanes)
    return group


def join(group: Group, name: str, lanes: list[Lane] = LANES, *destinations: str) -> None:
    group.members[name] = Member(frozenset(destinations or ("d",)), lambda: None)
    group.balance(lanes)


def settle(group: Group) -> None:
    """Let every member release what it is to release."""
    for name in group.members:
        group.release(name, group.to_release(name))


def test_the_first_member_owns_everything() -> None:
    assert group_of("a").owned("a") == set(LANES)


def test_a_second_member_waits_until_the_first_releases_its_share() -> None:
    group = group_of("a", "b")
    assert group.owned("b") == set()
    leaving = group.to_release("a")
    assert len(leaving) == 3
    settle(group)
    assert group.owned("b") == leaving
    assert group.owned("a") == set(LANES) - leaving


def test_only_what_must_move_moves() -> None:
    group = group_of("a", "b")
    settle(group)
    before = {name: group.owned(name) for name in "ab"}
    join(group, "c")
    settle(group)
    assert [len(group.owned(name)) for name in "abc"] == [2, 2, 2]
    assert group.owned("a") < before["a"]
    assert group.owned("b") < before["b"]


def test_what_a_member_leaves_goes_to_the_others() -> None:
    group = group_of("a", "b", "c")
    settle(group)
    kept = group.owned("a")
    del group.members["b"]
    group.balance(LANES)
    group.release("b", group.owned("b"))
    assert group.owned("b") == set()
    assert group.owned("a") | group.owned("c") == set(LANES)
    assert kept <= group.owned("a")


def test_new_partitions_are_shared() -> None:
    group = group_of("a", "b")
    settle(group)
    more = [*LANES, Lane("d", 6), Lane("d", 7)]
    group.balance(more)
    assert [len(group.owned(name)) for name in "ab"] == [4, 4]


def test_members_without_the_destination_get_none_of_it() -> None:
    group = Group()
    both = [*LANES, Lane("e", 0)]
    join(group, "a", both, "d")
    join(group, "b", both, "e")
    settle(group)
    assert group.owned("a") == set(LANES)
    assert group.owned("b") == {Lane("e", 0)}


def test_more_members_than_partitions_leave_some_idle() -> None:
    group = group_of("a", "b", "c", lanes=LANES[:2])
    settle(group)
    assert sorted(len(group.owned(name)) for name in "abc") == [0, 1, 1]
