"""The broker's side of consumer groups: membership, assignment, committed offsets."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Mapping

from streambind.binders.memory.group import Group, Member
from streambind.binding.binder import Lane
from streambind.errors import LifecycleError


class Coordinator:
    """All groups of a broker. Thread-safe; calls members back without holding its lock.

    `partitions(destination)` counts them, 0 for a missing one; `check_up()` raises while the broker is down.
    """

    def __init__(self, partitions: Callable[[str], int], check_up: Callable[[], None]) -> None:
        self._partitions = partitions
        self._check_up = check_up
        self._lock = threading.Lock()
        self._groups: dict[str, Group] = {}
        self._numbers = itertools.count(1)

    def join(self, group: str, destinations: Iterable[str], on_change: Callable[[], None]) -> str:
        """Become a member; returns its name. `on_change` is called whenever `assignment` may differ."""
        self._check_up()
        with self._lock:
            name = f"member-{next(self._numbers)}"
            state = self._groups.setdefault(group, Group())
            state.members[name] = Member(frozenset(destinations), on_change)
            state.balance(self._lanes(state))
            members = list(state.members.values())
        _notify(members)
        return name

    def leave(self, group: str, member: str) -> None:
        """Stop being a member; works with the broker down too, as a session that expires."""
        with self._lock:
            state = self._groups[group]
            state.members.pop(member, None)
            state.balance(self._lanes(state))
            state.release(member, state.owned(member))
            members = list(state.members.values())
        _notify(members)

    def assignment(self, group: str, member: str) -> tuple[set[Lane], set[Lane]]:
        """The lanes that the member owns, and those among them that it is to release."""
        self._check_up()
        with self._lock:
            state = self._groups[group]
            return state.owned(member), state.to_release(member)

    def release(self, group: str, member: str, lanes: Iterable[Lane]) -> None:
        """The member has done with these lanes; whom they are meant for gets them."""
        self._check_up()
        with self._lock:
            state = self._groups[group]
            state.release(member, lanes)
            members = list(state.members.values())
        _notify(members)

    def commit(self, group: str, member: str, offsets: Mapping[Lane, int]) -> None:
        """Keep the offsets of those lanes that the member owns; the others are another member's business."""
        self._check_up()
        with self._lock:
            state = self._groups[group]
            state.committed.update({lane: o for lane, o in offsets.items() if state.owns(member, lane)})

    def reset(self, group: str, offsets: Mapping[Lane, int]) -> None:
        """Set the offsets of a group without members.

        Raises:
            LifecycleError: it has some.
        """
        self._check_up()
        with self._lock:
            state = self._groups.setdefault(group, Group())
            if state.members:
                raise LifecycleError(f"group {group} has members at work: stop them first")
            state.committed.update(offsets)

    def owners(self, group: str, destination: str) -> dict[int, str]:
        """Who holds which partition of the destination."""
        self._check_up()
        with self._lock:
            state = self._groups.get(group, Group())
            held = [(lane, name) for name in state.members for lane in state.owned(name)]
            return {lane.partition: name for lane, name in held if lane.destination == destination}

    def committed(self, group: str, destination: str) -> dict[int, int]:
        """The group's offsets by partition; empty for a group that nobody knows."""
        self._check_up()
        with self._lock:
            offsets = self._groups[group].committed if group in self._groups else {}
            return {lane.partition: o for lane, o in offsets.items() if lane.destination == destination}

    def forget(self, group: str) -> None:
        """Drop the group and what it has committed, unless it has members."""
        with self._lock:
            if group in self._groups and not self._groups[group].members:
                del self._groups[group]

    def look_again(self, *, balance: bool = False) -> None:
        """Call every member back: the broker is up again, or (`balance`) partitions were added."""
        with self._lock:
            if balance:
                for state in self._groups.values():
                    state.balance(self._lanes(state))
            members = [member for state in self._groups.values() for member in state.members.values()]
        _notify(members)

    def _lanes(self, group: Group) -> list[Lane]:
        names = dict.fromkeys(name for m in group.members.values() for name in sorted(m.destinations))
        return [Lane(name, number) for name in names for number in range(self._partitions(name))]


def _notify(members: Iterable[Member]) -> None:
    for member in members:
        member.on_change()
