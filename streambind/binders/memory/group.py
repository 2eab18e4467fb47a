"""A consumer group as the broker keeps it: members, who owns which lane, committed offsets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from streambind.binding.binder import Lane


@dataclass(frozen=True, slots=True)
class Member:
    """`on_change` is called, by any thread and without locks held, when the member should look again."""

    destinations: frozenset[str]
    on_change: Callable[[], None]


class Group:
    """Cooperative and sticky: a lane that moves is first released by its owner, the others stay. Not
    thread-safe."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.committed: dict[Lane, int] = {}
        self._owners: dict[Lane, str] = {}
        self._targets: dict[Lane, str] = {}

    def owned(self, member: str) -> set[Lane]:
        return {lane for lane, owner in self._owners.items() if owner == member}

    def to_release(self, member: str) -> set[Lane]:
        """Lanes of the member that are meant for another one."""
        return {lane for lane in self.owned(member) if self._targets.get(lane) != member}

    def owns(self, member: str, lane: Lane) -> bool:
        return self._owners.get(lane) == member

    def release(self, name: str, lanes: Iterable[Lane]) -> None:
        """The member has done with these lanes: they go where they are meant to."""
        for lane in lanes:
            if self._owners.get(lane) == name:
                del self._owners[lane]
                self._hand_over(lane)

    def balance(self, lanes: Sequence[Lane]) -> None:
        """Decide anew who is meant to own which of `lanes`, moving as few as possible."""
        takers = {lane: self._takers(lane) for lane in lanes}
        targets = {lane: t for lane, t in self._targets.items() if t in takers.get(lane, ())}
        counts = dict.fromkeys(self.members, 0)
        for owner in targets.values():
            counts[owner] += 1
        for lane in lanes:
            if lane not in targets and takers[lane]:
                targets[lane] = least = min(takers[lane], key=counts.__getitem__)
                counts[least] += 1
        for lane in reversed(lanes):
            if takers[lane]:
                owner, least = targets[lane], min(takers[lane], key=counts.__getitem__)
                if counts[owner] > counts[least] + 1:
                    targets[lane] = least
                    counts[owner] -= 1
                    counts[least] += 1
        self._targets = targets
        for lane in lanes:
            self._hand_over(lane)

    def _takers(self, lane: Lane) -> list[str]:
        return [name for name, member in self.members.items() if lane.destination in member.destinations]

    def _hand_over(self, lane: Lane) -> None:
        if lane not in self._owners and lane in self._targets:
            self._owners[lane] = self._targets[lane]
