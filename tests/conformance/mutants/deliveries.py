"""Mutants that deliver wrongly, or carry out an outcome wrongly."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from streambind.binders.memory.broker import MemoryBroker
from streambind.binders.memory.consumer import MemoryConsumerBinding
from streambind.binders.memory.log import MemoryBatch, Record
from streambind.binders.memory.progress import Progress
from streambind.binders.memory.properties import MemoryConsumerProperties
from streambind.binding.binder import Deliver, Lane, PartitionState
from streambind.binding.outcome import Continue, Outcome, RetryAfter, Seek, Stop
from streambind.message import Batch
from tests.conformance.mutants.registry import around, instead_of_deliver, mutant


def _then(patch: pytest.MonkeyPatch, change: Callable[[Batch, Outcome], Outcome]) -> None:
    instead_of_deliver(patch, lambda deliver, batch: change(batch, deliver(batch)))


@mutant("TestStop.test_an_exception_stops_the_partition")
def acknowledges_what_raised(patch: pytest.MonkeyPatch) -> None:
    def instead(deliver: Deliver, batch: Batch) -> Outcome:
        try:
            return deliver(batch)
        except RuntimeError:
            return Outcome(len(batch))

    instead_of_deliver(patch, instead)


@mutant("TestStop.test_an_exception_stops_the_partition")
def tries_again_what_raised(patch: pytest.MonkeyPatch) -> None:
    def instead(deliver: Deliver, batch: Batch) -> Outcome:
        try:
            return deliver(batch)
        except RuntimeError:
            return Outcome(0, RetryAfter(1))

    instead_of_deliver(patch, instead)


@mutant("TestStop.test_it_is_visible_and_nothing_later_comes")
def goes_on_after_stop(patch: pytest.MonkeyPatch) -> None:
    _then(patch, lambda batch, o: Outcome(len(batch)) if isinstance(o.then, Stop) else o)


@mutant("TestStop.test_it_is_visible_and_nothing_later_comes")
def stops_in_silence(patch: pytest.MonkeyPatch) -> None:
    def state(original: Any, progress: Progress) -> PartitionState:
        return PartitionState(progress.lane, progress.position)

    around(patch, Progress, "state", state)


@mutant("TestStop.test_other_partitions_go_on")
def stops_everything(patch: pytest.MonkeyPatch) -> None:
    def stall(original: Any, binding: MemoryConsumerBinding, progress: Progress, error: BaseException) -> None:
        for other in binding._lanes.values():
            original(binding, other, error)

    around(patch, MemoryConsumerBinding, "_stall", stall)


@mutant("TestStop.test_an_outcome_that_does_not_fit_the_batch_stops_the_partition")
def believes_any_outcome(patch: pytest.MonkeyPatch) -> None:
    _then(patch, lambda batch, o: Outcome(max(0, min(o.done, len(batch))), o.then))


@mutant("TestStop.test_an_exception_stops_the_partition")
def forgets_what_went_wrong(patch: pytest.MonkeyPatch) -> None:
    around(patch, MemoryConsumerBinding, "last_error", lambda original, binding: None)


@mutant("TestUndone.test_the_rest_of_a_batch_comes_again_at_once_and_the_done_part_does_not")
def skips_the_undone_rest(patch: pytest.MonkeyPatch) -> None:
    _then(patch, lambda batch, o: Outcome(len(batch)) if o.then == Continue() and o.done else o)


@mutant("TestUndone.test_the_rest_of_a_batch_comes_again_at_once_and_the_done_part_does_not")
def delivers_the_done_prefix_again(patch: pytest.MonkeyPatch) -> None:
    first: set[int] = set()

    def change(batch: Batch, outcome: Outcome) -> Outcome:
        if outcome.done < len(batch) and batch.position not in first:
            first.add(batch.position)
            return Outcome(0, outcome.then)
        return outcome

    _then(patch, change)


@mutant("TestRetryAfter.test_the_rest_comes_again_first_and_nothing_overtakes_it")
def reorders_after_a_retry(patch: pytest.MonkeyPatch) -> None:
    def settle(original: Any, progress: Progress, batch: MemoryBatch, outcome: Outcome, now_s: float) -> None:
        original(progress, batch, outcome, now_s)
        if isinstance(outcome.then, RetryAfter) and progress.rest is not None:
            first, *others = progress.rest._records
            progress.rest = MemoryBatch(progress.lane, progress.rest.position, [*others, first])

    around(patch, Progress, "settle", settle)


@mutant("TestRetryAfter.test_the_rest_comes_again_first_and_nothing_overtakes_it")
def drops_what_asked_for_a_retry(patch: pytest.MonkeyPatch) -> None:
    _then(patch, lambda batch, o: Outcome(min(o.done + 1, len(batch))) if isinstance(o.then, RetryAfter) else o)


@mutant("TestRetryAfter.test_it_comes_not_before_the_time_is_over")
def retries_at_once(patch: pytest.MonkeyPatch) -> None:
    _then(
        patch, lambda batch, o: Outcome(o.done, RetryAfter(0, "at once")) if isinstance(o.then, RetryAfter) else o
    )


@mutant("TestRetryAfter.test_other_partitions_go_on_meanwhile")
def blocks_a_worker_while_it_backs_off(patch: pytest.MonkeyPatch) -> None:
    def change(batch: Batch, outcome: Outcome) -> Outcome:
        if isinstance(outcome.then, RetryAfter):
            threading.Event().wait(min(outcome.then.delay_ms / 1000, 3.0))
        return outcome

    _then(patch, change)


@mutant("TestRetryAfter.test_people_can_see_that_a_partition_backs_off_and_why")
def backs_off_in_silence(patch: pytest.MonkeyPatch) -> None:
    def state(original: Any, progress: Progress) -> PartitionState:
        return PartitionState(progress.lane, progress.position, stalled=progress.stalled)

    around(patch, Progress, "state", state)


@mutant("TestSeek.test_it_goes_on_further_on")
def ignores_seek(patch: pytest.MonkeyPatch) -> None:
    _then(patch, lambda batch, o: Outcome(o.done) if isinstance(o.then, Seek) else o)


@mutant("TestSeek.test_it_goes_back")
def seeks_forward_only(patch: pytest.MonkeyPatch) -> None:
    def change(batch: Batch, o: Outcome) -> Outcome:
        return Outcome(o.done) if isinstance(o.then, Seek) and o.then.offset < batch.position + o.done else o

    _then(patch, change)


@mutant("TestDelivery.test_a_tombstone_and_an_empty_payload_are_kept_apart")
def drops_tombstones(patch: pytest.MonkeyPatch) -> None:
    def fetch(original: Any, broker: MemoryBroker, lane: Lane, position: int, limit: int) -> list[Record]:
        return [record for record in original(broker, lane, position, limit) if record.payload is not None]

    around(patch, MemoryBroker, "fetch", fetch)


@mutant("TestDelivery.test_every_message_arrives_once_and_in_order")
def delivers_twice(patch: pytest.MonkeyPatch) -> None:
    seen: set[int] = set()

    def instead(deliver: Deliver, batch: Batch) -> Outcome:
        if batch.position not in seen:
            seen.add(batch.position)
            deliver(batch)
        return deliver(batch)

    instead_of_deliver(patch, instead)


@mutant("TestDelivery.test_batches_are_bounded")
def delivers_batches_of_any_size(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MemoryConsumerProperties, "max_batch", 1_000_000)


@mutant("TestPositionsOfBatches.test_a_hole_may_lie_between_a_position_and_the_first_message")
def takes_the_first_offset_for_the_position(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MemoryBatch, "position", property(lambda batch: batch.offset(0)))


@mutant("TestPositionsOfBatches.test_a_hole_may_lie_between_what_is_done_and_the_rest")
def thinks_that_offsets_are_dense(patch: pytest.MonkeyPatch) -> None:
    def after(original: Any, batch: MemoryBatch, done: int) -> MemoryBatch | None:
        rest: MemoryBatch | None = original(batch, done)
        return rest and MemoryBatch(rest._lane, batch.offset(0) + done, rest._records)

    around(patch, MemoryBatch, "after", after)


@mutant("TestDelivery.test_one_binding_reads_several_destinations")
def reads_one_destination_only(patch: pytest.MonkeyPatch) -> None:
    def instead(deliver: Deliver, batch: Batch) -> Outcome:
        return (
            deliver(batch)
            if batch.destination == first.setdefault("name", batch.destination)
            else Outcome(len(batch))
        )

    first: dict[str, str] = {}
    instead_of_deliver(patch, instead)
