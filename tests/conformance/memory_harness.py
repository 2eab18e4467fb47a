"""What the conformance suite needs to know of the memory binder."""

from __future__ import annotations

from streambind.binders.memory import MEMORY, MemoryBroker
from streambind.binding.binder import Binder
from streambind.testing.binder_suite import BinderHarness


class MemoryHarness(BinderHarness):
    binder_type = MEMORY
    abilities = frozenset(
        {"outages", "retention", "holes", "java-partitions", "shut-out", "replacement", "times", "compaction"}
    )
    within_s = 5.0
    send_timeout_ms = 300
    max_batch = 500

    def __init__(self) -> None:
        self.name = self.fresh_name("broker")
        self.broker = MemoryBroker.named(self.name)

    def binder(self) -> Binder:
        return MEMORY.create(MEMORY.binder_properties.model_validate({"name": self.name}))

    def create(self, destination: str, partitions: int) -> None:
        self.broker.create(destination, partitions)

    def break_broker(self) -> None:
        self.broker.go_down()

    def heal_broker(self) -> None:
        self.broker.come_up()

    def delete_records(self, destination: str, partition: int, before: int) -> None:
        self.broker.delete_records(destination, partition, before)

    def make_anew(self, destination: str) -> None:
        self.broker.make_anew(destination)

    def make_compacted(self, destination: str) -> None:
        self.broker.compact(destination)

    def leave_hole(self, destination: str, partition: int) -> None:
        self.broker.leave_hole(destination, partition)
