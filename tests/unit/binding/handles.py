"""Bindings whose handles do nothing but remember, and a service of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streambind.binding.binder import PartitionState
from streambind.binding.binding import InputBinding, OutputBinding
from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.binding.service import BindingService
from streambind.message import Message

happened: list[str] = []


services: list[BindingService] = []
outages: dict[str, str] = {}
"""Of a binding's consumer, what it says while its broker is away."""


class Consumer:
    def __init__(self, name: str) -> None:
        self.name = name
        happened.append(f"bind {name}")

    def pause(self) -> None:
        happened.append(f"pause {self.name}")

    def resume(self) -> None:
        happened.append(f"resume {self.name}")

    def partitions(self) -> Sequence[PartitionState]:
        return ()

    def last_error(self) -> str | None:
        return "one message failed"

    def away(self) -> str | None:
        return outages.get(self.name)

    def unbind(self, timeout_ms: int) -> None:
        happened.append(f"unbind {self.name}")


class Producer:
    def __init__(self, name: str) -> None:
        self.name = name
        happened.append(f"bind {name}")

    def send(self, messages: Sequence[Message]) -> list[Sent | Failed | Unknown]:
        return [Sent(0, offset) for offset in range(len(messages))]

    def max_payload_bytes(self) -> int | None:
        return 1000

    def purge(self) -> None:
        happened.append(f"purge {self.name}")

    def unbind(self, timeout_ms: int) -> None:
        happened.append(f"unbind {self.name}")


def input_of(name: str, bind: Callable[[], Consumer] | None = None) -> InputBinding:
    return InputBinding(name, bind or (lambda: Consumer(name)), destination="t", binder="memory", group="CGR-x")


def output_of(name: str, bind: Callable[[], Producer] | None = None) -> OutputBinding:
    return OutputBinding(name, bind or (lambda: Producer(name)), destination="t", binder="memory")


def service_of(
    outputs: Sequence[OutputBinding], inputs: Sequence[InputBinding], retry_interval_s: float = 0.01
) -> BindingService:
    services.append(BindingService(outputs, inputs, retry_interval_s=retry_interval_s))
    return services[-1]
