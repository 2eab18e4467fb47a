"""Which topics these are, and whether each is still the one it was: a topic deleted and made again quickly gives a
consumer no sign, and its old offsets mean nothing in the new one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streambind.binders.kafka.admin import KafkaAdmin, Topic
from streambind.binding.binder import Identity, Lane


class TopicIdentities:
    """What each topic was when the binding was made, or when it was first seen. Not thread-safe."""

    def __init__(self, admin: KafkaAdmin, topics: Mapping[str, Topic]) -> None:
        self._admin = admin
        self._topics = dict(topics)
        self._remade: dict[str, set[int]] = {}
        self._absent: set[str] = set()
        self._cluster: str | None = None

    def remade(self, names: Iterable[str], timeout_s: float) -> set[str]:
        """Those that were made anew since they were last looked at. May raise what `KafkaAdmin` raises."""
        changed = set()
        self._cluster = self._admin.cluster_id(timeout_s)
        for name in names:
            now = self._admin.topic(name, timeout_s)
            if now is None:
                self._absent.add(name)
                continue  # deleted; if it comes back, it is another one
            self._absent.discard(name)
            before = self._topics.setdefault(name, now)
            if now.id != before.id:
                self._topics[name] = now
                self._remade[name] = set()
                changed.add(name)
        return changed

    def identity(self, name: str, timeout_s: float) -> Identity:
        """What the topic was when `remade` last looked, and whether it is compacted now. May raise what
        `KafkaAdmin` raises."""
        topic = self._topics.get(name)
        if topic is None:
            return Identity(self._cluster)
        return Identity(self._cluster, topic.id, self._admin.is_compacted(name, timeout_s))

    def begins_anew(self, lane: Lane) -> bool:
        """Whether the partition has not begun yet since its topic was made anew: what the group committed is of
        the old one."""
        begun = self._remade.get(lane.destination)
        return begun is not None and lane.partition not in begun

    def begun(self, lanes: Iterable[Lane]) -> None:
        """These have begun: what is committed from now on is of the topic as it is."""
        for lane in lanes:
            if lane.destination in self._remade:
                self._remade[lane.destination].add(lane.partition)

    def known(self) -> list[str]:
        return list(self._topics)

    def present(self) -> set[str]:
        """Those of the known that were there when `remade` last looked."""
        return set(self._topics) - self._absent

    def is_new(self, lane: Lane) -> bool:
        """Whether the partition, or its whole topic, came after the binding was made: all that it holds is new."""
        topic = self._topics.get(lane.destination)
        return lane.destination in self._remade or (topic is not None and lane.partition >= topic.partitions)
