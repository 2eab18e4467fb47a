"""Mutants that share, remember or start wrongly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from streambind.binders.memory import MemoryBinder
from streambind.binders.memory.broker import MemoryBroker
from streambind.binders.memory.consumer import MemoryConsumerBinding
from streambind.binders.memory.coordinator import Coordinator
from streambind.binders.memory.log import OutsideLog, Record
from streambind.binders.memory.progress import Progress
from streambind.binders.memory.start import Start
from streambind.binding.binder import ConsumerTarget, Deliver, Identity, Lane
from streambind.errors import BrokerUnavailableError
from tests.conformance.mutants.registry import around, mutant


def _group(patch: pytest.MonkeyPatch, name: Callable[[str | None], str | None]) -> None:
    def bind(original: Any, binder: MemoryBinder, target: ConsumerTarget, deliver: Deliver) -> Any:
        return original(binder, replace(target, group=name(target.group)), deliver)

    around(patch, MemoryBinder, "bind_consumer", bind)


@mutant("TestGroups.test_members_share_the_messages")
def gives_every_member_everything(patch: pytest.MonkeyPatch) -> None:
    _group(patch, lambda group: group and f"{group}-{uuid4()}")


@mutant("TestGroups.test_every_group_gets_every_message")
def has_one_group_for_all(patch: pytest.MonkeyPatch) -> None:
    _group(patch, lambda group: group and "everybody")


@mutant("TestAnonymous.test_each_gets_everything")
def has_one_anonymous_group(patch: pytest.MonkeyPatch) -> None:
    _group(patch, lambda group: group or "anonymous")


def _commit(
    patch: pytest.MonkeyPatch,
    change: Callable[[Coordinator, str, str, Mapping[Lane, int]], Mapping[Lane, int]],
) -> None:
    def commit(
        original: Any, coordinator: Coordinator, group: str, member: str, offsets: Mapping[Lane, int]
    ) -> None:
        original(coordinator, group, member, change(coordinator, group, member, offsets))

    around(patch, Coordinator, "commit", commit)


@mutant("TestRestart.test_what_was_not_done_comes_again_and_what_was_done_does_not")
def commits_past_a_failure(patch: pytest.MonkeyPatch) -> None:
    _commit(patch, lambda coordinator, group, member, offsets: {lane: o + 1 for lane, o in offsets.items()})


@mutant("TestRestart.test_what_was_not_done_comes_again_and_what_was_done_does_not")
def commits_one_too_few(patch: pytest.MonkeyPatch) -> None:
    _commit(patch, lambda coordinator, group, member, offsets: {lane: o - 1 for lane, o in offsets.items()})


@mutant("TestCommitted.test_partitions_without_a_report_are_absent")
def commits_nothing(patch: pytest.MonkeyPatch) -> None:
    _commit(patch, lambda coordinator, group, member, offsets: {})


@mutant("TestCommitted.test_only_what_is_done_is_reported")
def commits_what_it_hands_over(patch: pytest.MonkeyPatch) -> None:
    def hand_over(original: Any, binding: MemoryConsumerBinding, progress: Progress, batch: Any) -> None:
        binding._broker.groups.commit(binding._group, binding._member, {progress.lane: batch.next_offset})
        original(binding, progress, batch)

    around(patch, MemoryConsumerBinding, "_hand_over", hand_over)


@mutant("TestUnbind.test_it_waits_for_the_running_delivery_and_reports_what_was_done")
def leaves_without_a_report(patch: pytest.MonkeyPatch) -> None:
    def report(original: Any, binding: MemoryConsumerBinding) -> None:
        if not binding._closing:
            original(binding)

    around(patch, MemoryConsumerBinding, "_report", report)


@mutant("TestGroups.test_what_is_done_does_not_come_again_when_a_partition_moves")
def loses_the_done_prefix_on_rebalance(patch: pytest.MonkeyPatch) -> None:
    def report(original: Any, binding: MemoryConsumerBinding) -> None:
        if binding._closing:
            original(binding)

    around(patch, MemoryConsumerBinding, "_report", report)


@mutant("TestGroups.test_a_partition_moves_when_its_running_delivery_has_ended")
def hands_a_partition_over_without_a_report(patch: pytest.MonkeyPatch) -> None:
    def kept(coordinator: Coordinator, group: str, member: str, offsets: Mapping[Lane, int]) -> Mapping[Lane, int]:
        leaving = coordinator.assignment(group, member)[1]
        return {lane: offset for lane, offset in offsets.items() if lane not in leaving}

    _commit(patch, kept)


@mutant("TestGroups.test_a_partition_moves_when_its_running_delivery_has_ended")
def hands_a_partition_over_while_it_is_delivered(patch: pytest.MonkeyPatch) -> None:
    def follow(original: Any, binding: MemoryConsumerBinding) -> None:
        leaving = binding._broker.groups.assignment(binding._group, binding._member)[1]
        binding._broker.groups.release(binding._group, binding._member, leaving)
        original(binding)

    around(patch, MemoryConsumerBinding, "_follow_assignment", follow)


@mutant("TestGroups.test_a_member_that_leaves_is_replaced")
def keeps_the_partitions_of_those_who_left(patch: pytest.MonkeyPatch) -> None:
    around(patch, Coordinator, "leave", lambda original, coordinator, group, member: None)


def _committed(patch: pytest.MonkeyPatch, instead: Callable[[Start, Lane, int], int]) -> None:
    """Start at `instead(start, lane, offset)` where the group's committed offset counts."""

    def position(original: Any, start: Start, lane: Lane) -> tuple[int, str]:
        offset, source = original(start, lane)
        return (instead(start, lane, offset) if source == "committed" else offset), source

    around(patch, Start, "position", position)


@mutant("TestGroups.test_what_is_not_done_comes_to_the_new_owner_when_a_partition_moves")
def starts_moved_partitions_at_the_end(patch: pytest.MonkeyPatch) -> None:
    _committed(patch, lambda start, lane, offset: start._info(lane.destination)[2][lane.partition])


@mutant("TestGroups.test_what_is_not_done_comes_to_the_new_owner_when_a_partition_moves")
def skips_a_message_of_each_moved_partition(patch: pytest.MonkeyPatch) -> None:
    _committed(patch, lambda start, lane, offset: offset + 1)


@mutant("TestGroups.test_members_that_come_and_go_lose_nothing")
def skips_a_message_at_every_start(patch: pytest.MonkeyPatch) -> None:
    def position(original: Any, start: Start, lane: Lane) -> tuple[int, str]:
        offset, source = original(start, lane)
        return offset + 1, source

    around(patch, Start, "position", position)


def _policy(patch: pytest.MonkeyPatch, policy: Callable[[Start, ConsumerTarget], str]) -> None:
    def init(original: Any, start: Start, broker: Any, target: ConsumerTarget, *others: Any) -> None:
        original(start, broker, target, *others)
        patch.setattr(start, "policy", policy(start, target), raising=False)

    around(patch, Start, "__init__", init)


@mutant("TestAnonymous.test_it_gets_only_what_is_new")
def starts_anonymous_groups_at_the_beginning(patch: pytest.MonkeyPatch) -> None:
    _policy(patch, lambda start, target: "earliest" if target.group is None else start.policy)


@mutant("TestStartOffset.test_a_new_group_starts_at_the_beginning")
def starts_every_group_at_the_end(patch: pytest.MonkeyPatch) -> None:
    _policy(patch, lambda start, target: "latest")


@mutant("TestStartOffset.test_latest")
def ignores_start_offset(patch: pytest.MonkeyPatch) -> None:
    _policy(patch, lambda start, target: "latest" if target.group is None else "earliest")


@mutant("TestStartOffset.test_a_committed_offset_counts_more")
def lets_start_offset_beat_what_is_committed(patch: pytest.MonkeyPatch) -> None:
    around(patch, Start, "_from_broker", lambda original, start, lane: start._by_policy(lane))


@mutant("TestStartOffset.test_latest_is_decided_once_and_remembered")
def forgets_where_latest_was(patch: pytest.MonkeyPatch) -> None:
    def start_at(original: Any, progress: Progress, position: int, *, report: bool) -> None:
        original(progress, position, report=False)

    around(patch, Progress, "start_at", start_at)


@mutant("TestPositions.test_a_stored_position_is_where_it_starts")
def ignores_positions(patch: pytest.MonkeyPatch) -> None:
    around(patch, Start, "position", lambda original, start, lane: start._from_broker(lane))


@mutant("TestPositions.test_it_counts_more_than_what_the_broker_knows")
def lets_the_brokers_offset_beat_a_stored_position(patch: pytest.MonkeyPatch) -> None:
    def position(original: Any, start: Start, lane: Lane) -> Any:
        offset, source = start._from_broker(lane)
        return (offset, source) if source == "committed" else original(start, lane)

    around(patch, Start, "position", position)


@mutant("TestAdoption.test_the_groups_committed_offset_comes_first")
def adopts_by_policy_only(patch: pytest.MonkeyPatch) -> None:
    around(patch, Start, "_from_broker", lambda original, start, lane: start._by_policy(lane))


@mutant("TestAdoption.test_what_another_instance_stored_meanwhile_wins")
def believes_its_own_adoption(patch: pytest.MonkeyPatch) -> None:
    def position(original: Any, start: Start, lane: Lane) -> Any:
        own = start._from_broker(lane)
        original(start, lane)
        return own

    around(patch, Start, "position", position)


@mutant("TestPositionsAway.test_they_are_asked_again_until_they_answer")
def starts_somewhere_when_the_positions_are_away(patch: pytest.MonkeyPatch) -> None:
    def position(original: Any, start: Start, lane: Lane) -> Any:
        try:
            return original(start, lane)
        except ConnectionError:
            return start._by_policy(lane)

    around(patch, Start, "position", position)


@mutant("TestPositionsAway.test_they_are_asked_again_until_they_answer")
def asks_for_positions_once(patch: pytest.MonkeyPatch) -> None:
    around(patch, Progress, "start_later", lambda original, progress, reason, now_s: progress.stall(reason))


@mutant("TestIdentity.test_one_made_anew_while_nothing_ran_stops_the_partition")
def takes_a_destination_made_anew_for_the_old_one(patch: pytest.MonkeyPatch) -> None:
    around(patch, MemoryBroker, "identity", lambda original, broker, name: Identity("broker", name))


@mutant("TestIdentity.test_a_position_at_another_broker_stops_the_partition")
def takes_another_broker_for_the_old_one(patch: pytest.MonkeyPatch) -> None:
    def may_be(original: Any, one: Identity, other: Identity) -> bool:
        return one.destination == other.destination

    around(patch, Identity, "may_be", may_be)


@mutant("TestIdentity.test_whether_the_destination_is_compacted_is_told")
def keeps_compaction_for_itself(patch: pytest.MonkeyPatch) -> None:
    around(
        patch,
        MemoryBroker,
        "identity",
        lambda original, broker, name: replace(original(broker, name), is_compacted=None),
    )


@mutant("TestRetention.test_a_lost_position_stops_the_partition_visibly")
def jumps_over_what_retention_took(patch: pytest.MonkeyPatch) -> None:
    def fetch(original: Any, broker: MemoryBroker, lane: Lane, position: int, limit: int) -> list[Record]:
        try:
            records: list[Record] = original(broker, lane, position, limit)
        except OutsideLog:
            records = original(broker, lane, 3, limit)
        return records

    around(patch, MemoryBroker, "fetch", fetch)


@mutant("TestBrokerAway.test_what_was_done_meanwhile_is_reported_later")
def forgets_reports_that_failed(patch: pytest.MonkeyPatch) -> None:
    def follow(original: Any, binding: MemoryConsumerBinding) -> None:
        try:
            original(binding)
        except BrokerUnavailableError:
            for progress in binding._lanes.values():
                progress.reported = progress.position
            raise

    around(patch, MemoryConsumerBinding, "_follow_assignment", follow)
