"""Let a process "die" at a point, within the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from streambind.failpoints import FailpointError
from streambind.inbound import (
    delivery,
    delivery_broker,
    delivery_positions,
    dispatcher,
    handling,
    parked_keys,
    parked_queues,
    parked_retry,
)


@contextmanager
def crashing_at(point: str) -> Iterator[None]:
    """Let the process "die" where the point is passed next."""
    modules: list[Any] = [delivery, delivery_broker, delivery_positions, dispatcher, handling]
    modules += [parked_keys, parked_queues, parked_retry]
    before: list[Callable[[str], None]] = [module.failpoint for module in modules]

    def failpoint(name: str) -> None:
        if name == point:
            raise FailpointError(name)

    for module in modules:
        module.failpoint = failpoint
    try:
        yield
    finally:
        for module, original in zip(modules, before, strict=True):
            module.failpoint = original
