"""Where a lane starts: the position store, else the group's committed offset, else the start policy."""

from __future__ import annotations

from typing import Literal

from streambind.binders.memory.broker import MemoryBroker
from streambind.binders.memory.properties import MemoryConsumerProperties
from streambind.binding.binder import ConsumerTarget, Lane
from streambind.binding.lost_position import replaced
from streambind.errors import BrokerError


class Start:
    """The start of one binding's lanes. Partitions that were added after it was made start at their beginning:
    for them `latest` would lose what came before the group noticed."""

    def __init__(
        self, broker: MemoryBroker, target: ConsumerTarget, group: str, properties: MemoryConsumerProperties
    ) -> None:
        self._broker = broker
        self._binding = target.binding
        self._positions = target.positions
        self._group = group
        anonymous = target.group is None
        self.policy: Literal["earliest", "latest"] = properties.start_offset or (
            "latest" if anonymous else "earliest"
        )
        self._known = {name: self._info(name)[0] for name in target.destinations}

    def position(self, lane: Lane) -> tuple[int, str]:
        """The offset and where it comes from. May block on the position store and raise whatever it raises; the
        lane asks again later.

        Raises:
            DestinationReplacedError: the stored position belongs to another one.
        """
        if self._positions is None:
            return self._from_broker(lane)
        now = self._broker.identity(lane.destination)
        stored = self._positions.read([lane]).get(lane)
        if stored is None:
            stored = self._positions.adopt({lane: self._from_broker(lane)}, {lane.destination: now})[lane]
        was = self._positions.identify([lane], {lane.destination: now}).get(lane, now)
        if not was.may_be(now):
            raise replaced(self._binding, self._group, lane, stored, was=was, now=now)
        return stored, "stored"

    def reset(self, lane: Lane) -> tuple[int, str]:
        """Where to go on when the position is no longer in the log."""
        return self._by_policy(lane)

    def _from_broker(self, lane: Lane) -> tuple[int, str]:
        committed = self._broker.groups.committed(self._group, lane.destination).get(lane.partition)
        return self._by_policy(lane) if committed is None else (committed, "committed")

    def _by_policy(self, lane: Lane) -> tuple[int, str]:
        _, starts, ends = self._info(lane.destination)
        if self.policy == "latest" and lane.partition < self._known[lane.destination]:
            return ends[lane.partition], "latest"
        return starts[lane.partition], "earliest"

    def _info(self, destination: str) -> tuple[int, dict[int, int], dict[int, int]]:
        info = self._broker.describe(destination)
        if info is None:
            raise BrokerError(f"destination {destination} does not exist")
        return info.partitions, dict(info.starts), dict(info.ends)
