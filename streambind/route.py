"""The `sb-route` header: through which destinations the messages came that led to this one.

A listener that publishes passes the route of its message on. Services that answer each other without an end go
round in a circle; the route is how that is seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from streambind.errors import CircleError

CAUSE = "streambind.cause"
"""Where the `info` of a handler's session holds the Cause of what it publishes."""

_MOST = 64
"""How many destinations a route holds; one that is longer was not written here, and counts as none."""
_COUNT = 9
"""How many digits a count has at most."""


class Cause(Protocol):
    """What a handler works on while it publishes."""

    def route(self) -> Route:
        """Of the messages that it leads to."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """How often each destination was passed. As text `orders=2 stock=1`, in the order of the first time."""

    times: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join(f"{destination}={count}" for destination, count in self.times.items())

    @staticmethod
    def parse(text: str | None) -> Route:
        """The route in a header's text; an empty one for anything that is none (a record may carry any bytes)."""
        times: dict[str, int] = {}
        parts = text.split(" ", _MOST) if text else []
        for part in parts:
            destination, _, count = part.rpartition("=")
            if not destination or not (count.isascii() and count.isdigit() and len(count) <= _COUNT):
                return Route()
            times[destination] = int(count)
        return Route(times) if len(parts) <= _MOST else Route()

    @staticmethod
    def of_all(routes: Iterable[Route]) -> Route:
        """The longest way of several: what a batch was answered with has been caused by all of it."""
        times: dict[str, int] = {}
        for route in routes:
            for destination, count in route.times.items():
                times[destination] = max(count, times.get(destination, 0))
        return Route(times)

    def through(self, destination: str) -> Route:
        """The route of what a message from that destination leads to."""
        return Route({**self.times, destination: self.times.get(destination, 0) + 1})

    def refuse_circle(self, binding: str, destination: str, *, max_rounds: int) -> None:
        """
        Raises:
            CircleError: a message to the destination would begin one round too many.
        """
        if self.times.get(destination, 0) >= max_rounds:
            way = " -> ".join(self.times)
            raise CircleError(
                f"binding {binding}: a message to {destination} was led to by {self.times[destination]} earlier "
                f"ones ({way} -> {destination}): listeners answer each other in a circle. "
                "Break it in code (return None, a condition, suppress_events(session)), or raise "
                "streambind.events.max-rounds if it comes to an end"
            )
