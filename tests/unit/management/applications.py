"""An application of which a test decides how it fares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from streambind.application import StreamApplication
from streambind.binding.binder import Lane, PartitionState
from streambind.binding.binding import BindingState, BindingStatus
from streambind.inbound.commit_times import CommitTimes
from streambind.inbound.statistics import Figures
from streambind.outbound.relay_state import RelayState
from streambind.persistence.database import Database


@dataclass
class StagedApplication:
    """What `health` asks of a StreamApplication."""

    bindings: list[BindingStatus] = field(default_factory=list)
    counted: dict[str, Figures] = field(default_factory=dict)
    database: Database | None = None
    relay: RelayState | None = None
    parking: set[str] = field(default_factory=set)
    times: dict[str, CommitTimes] = field(default_factory=dict)
    is_running: bool = True

    def status(self) -> list[BindingStatus]:
        return self.bindings

    def figures(self, binding: str) -> Figures | None:
        return self.counted.get(binding)

    def commit_times(self, binding: str) -> CommitTimes | None:
        return self.times.get(binding)

    def parks(self, binding: str) -> bool:
        return binding in self.parking

    def as_application(self) -> StreamApplication:
        return cast(StreamApplication, self)


def an_input(
    *partitions: PartitionState, state: BindingState = BindingState.RUNNING, last_error: str | None = None
) -> BindingStatus:
    return BindingStatus("in-a", "in", "a", "g", "kafka", state, last_error, partitions)


def partition(
    number: int,
    *,
    stalled: str | None = None,
    retrying: str | None = None,
    destination: str = "a",
    lag: int | None = None,
) -> PartitionState:
    return PartitionState(Lane(destination, number), 7, stalled, retrying, lag)
