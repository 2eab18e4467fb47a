"""Sends that shall fail, as a test wants it."""

from __future__ import annotations

from dataclasses import dataclass

from streambind.binding.outcome import Failed, Unknown
from streambind.message import Message


@dataclass(slots=True)
class SendFault:
    """What the next `times` messages (of a destination, of a key) are answered with; `arrives`: they are stored
    all the same."""

    result: Failed | Unknown
    times: int
    destination: str | None
    key: bytes | None
    arrives: bool

    def concerns(self, destination: str, message: Message) -> bool:
        return self.destination in (None, destination) and self.key in (None, message.key)


class SendFaults:
    """Those that are still to come, in the order in which they were asked for. Not thread-safe."""

    def __init__(self) -> None:
        self._faults: list[SendFault] = []

    def add(self, fault: SendFault) -> None:
        self._faults.append(fault)

    def take(self, destination: str, message: Message) -> SendFault | None:
        """The fault that this message meets, which counts as one of its times; None if it meets none."""
        for fault in self._faults:
            if fault.concerns(destination, message):
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                return fault
        return None
