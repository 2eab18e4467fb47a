"""Mutants that run too much at once, do not pause, or do not end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from streambind.binders.memory import MemoryBinder
from streambind.binders.memory.consumer import MemoryConsumerBinding
from streambind.binding.binder import ConsumerTarget, Deliver, Lane
from streambind.binding.outcome import Outcome
from streambind.errors import LifecycleError
from streambind.message import Batch
from tests.conformance.mutants.registry import around, instead_of_deliver, mutant


@mutant("TestConcurrency.test_one_delivery_at_a_time_per_partition")
def delivers_a_lane_concurrently(patch: pytest.MonkeyPatch) -> None:
    class Forgetful(dict[Lane, int]):
        def __contains__(self, lane: object) -> bool:
            return False

    def start(original: Any, binding: MemoryConsumerBinding, *arguments: Any) -> None:
        original(binding, *arguments)
        binding._running = Forgetful()

    around(patch, MemoryConsumerBinding, "__init__", start)


def _concurrency(patch: pytest.MonkeyPatch, threads: Callable[[int], int]) -> None:
    def bind(original: Any, binder: MemoryBinder, target: ConsumerTarget, deliver: Deliver) -> Any:
        properties = target.properties.model_copy(update={"concurrency": threads(target.properties.concurrency)})
        object.__setattr__(target, "properties", properties)
        return original(binder, target, deliver)

    around(patch, MemoryBinder, "bind_consumer", bind)


@mutant("TestConcurrency.test_no_more_than_concurrency_deliveries_run")
def runs_more_deliveries_than_it_may(patch: pytest.MonkeyPatch) -> None:
    _concurrency(patch, lambda concurrency: concurrency * 2)


@mutant("TestConcurrency.test_a_slow_partition_does_not_hold_another")
def has_one_worker(patch: pytest.MonkeyPatch) -> None:
    _concurrency(patch, lambda concurrency: 1)


@mutant("TestPause.test_nothing_is_delivered_until_resume")
def ignores_pause(patch: pytest.MonkeyPatch) -> None:
    around(patch, MemoryConsumerBinding, "pause", lambda original, binding: None)


@mutant("TestPause.test_nothing_is_delivered_until_resume")
def never_resumes(patch: pytest.MonkeyPatch) -> None:
    around(patch, MemoryConsumerBinding, "resume", lambda original, binding: None)


@mutant("TestPause.test_a_retry_waits_for_resume_too")
def retries_while_paused(patch: pytest.MonkeyPatch) -> None:
    def next_work(original: Any, binding: MemoryConsumerBinding) -> Any:
        paused = binding._paused
        binding._paused = paused and not any(p.rest for p in binding._lanes.values())
        try:
            return original(binding)
        finally:
            binding._paused = paused

    around(patch, MemoryConsumerBinding, "_next", next_work)


@mutant("TestUnbind.test_nothing_is_delivered_afterwards")
def delivers_after_unbind(patch: pytest.MonkeyPatch) -> None:
    batches: list[tuple[Deliver, Batch]] = []

    def instead(deliver: Deliver, batch: Batch) -> Outcome:
        batches.append((deliver, batch))
        return deliver(batch)

    def unbind(original: Any, binding: MemoryConsumerBinding, timeout_ms: int) -> None:
        original(binding, timeout_ms)
        for deliver, batch in batches[-1:]:
            threading.Timer(0.001, deliver, (batch,)).start()

    instead_of_deliver(patch, instead)
    around(patch, MemoryConsumerBinding, "unbind", unbind)


@mutant("TestUnbind.test_it_waits_for_the_running_delivery_and_reports_what_was_done")
def unbinds_at_once(patch: pytest.MonkeyPatch) -> None:
    around(patch, MemoryConsumerBinding, "unbind", lambda original, binding, timeout_ms: original(binding, 0))


@mutant("TestUnbind.test_it_returns_when_the_time_is_over_and_the_undone_comes_again")
def unbinds_when_it_likes(patch: pytest.MonkeyPatch) -> None:
    around(patch, MemoryConsumerBinding, "unbind", lambda original, binding, timeout_ms: original(binding, 3000))


@mutant("TestUnbind.test_everything_may_be_called_again")
def unbinds_once(patch: pytest.MonkeyPatch) -> None:
    def unbind(original: Any, binding: MemoryConsumerBinding, timeout_ms: int) -> None:
        if binding._left:
            raise LifecycleError("not bound")
        original(binding, timeout_ms)

    around(patch, MemoryConsumerBinding, "unbind", unbind)


@mutant("TestUnbind.test_closing_the_binder_unbinds_everything")
def closes_without_unbinding(patch: pytest.MonkeyPatch) -> None:
    around(patch, MemoryBinder, "close", lambda original, binder, timeout_ms: None)
