"""Mutants that keep fences wrongly."""

from __future__ import annotations

from typing import Any

import pytest

from streambind.binders.memory.broker import Fence, MemoryBroker
from streambind.binders.memory.producer import MemoryProducerBinding
from streambind.binding.outcome import Sent
from tests.conformance.mutants.registry import around, mutant


@mutant("TestFencing.test_who_binds_the_fence_shuts_out_who_had_it")
def lets_in_who_was_shut_out(patch: pytest.MonkeyPatch) -> None:
    around(
        patch,
        MemoryBroker,
        "append",
        lambda original, it, destination, messages, fence: original(it, destination, messages),
    )


@mutant("TestFencing.test_who_binds_the_fence_shuts_out_who_had_it")
def takes_a_fence_back_when_it_is_shut_out(patch: pytest.MonkeyPatch) -> None:
    def append(original: Any, it: MemoryBroker, destination: str, messages: Any, fence: Fence | None) -> Any:
        again = None if fence is None else it.take_fence(fence.name)
        return original(it, destination, messages, again)

    around(patch, MemoryBroker, "append", append)


@mutant("TestFencing.test_one_that_has_never_sent_is_shut_out_too")
def takes_the_fence_with_the_first_send(patch: pytest.MonkeyPatch) -> None:
    def send(original: Any, output: MemoryProducerBinding, messages: Any) -> Any:
        if output._target.fence is not None and not hasattr(output._broker, f"sent by {id(output)}"):
            setattr(output._broker, f"sent by {id(output)}", output)
            output._fence = output._broker.take_fence(output._target.fence)
        return original(output, messages)

    around(patch, MemoryProducerBinding, "send", send)


@mutant("TestFencing.test_who_binds_the_fence_shuts_out_who_had_it")
def says_sent_to_who_is_shut_out(patch: pytest.MonkeyPatch) -> None:
    def append(original: Any, it: MemoryBroker, destination: str, messages: Any, fence: Fence | None) -> Any:
        if fence is not None and it._fences[fence.name] != fence.number:
            return [Sent(0, 0) for _ in messages]
        return original(it, destination, messages, fence)

    around(patch, MemoryBroker, "append", append)


@mutant("TestFencing.test_other_fences_and_outputs_without_one_go_on")
def has_one_fence_for_all(patch: pytest.MonkeyPatch) -> None:
    around(patch, MemoryBroker, "take_fence", lambda original, it, name: original(it, "fence"))
