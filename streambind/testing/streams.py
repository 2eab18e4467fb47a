"""`Streams`: what the fixture `streams` gives to a test."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar
from zoneinfo import ZoneInfo

from streambind.application import StreamApplication
from streambind.configuration import BindingProperties
from streambind.conversion import converter_for
from streambind.errors import ConfigurationError, LifecycleError
from streambind.message import Message
from streambind.testing.bookkeeping import Leftovers
from streambind.testing.run import Guests, Run
from streambind.testing.settling import Look, look, report_unsettled
from streambind.testing.stand_in import StandIn

E = TypeVar("E")

_BETWEEN_LOOKS_S = 0.01
_LAST_LOOKS = 10


class Streams:
    """Applications on a broker of the test's own. Used from one thread, or one event loop, at a time.

    streambind's own rows in an application's database (positions, the guard's, numbers of keys) speak of a
    broker. Since the test's is a new one they are forgotten when the application first runs in a test: never
    point tests at a database that you need. The application's own tables are left alone.
    """

    def __init__(self, broker: StandIn, leftovers: Leftovers) -> None:
        self._broker = broker
        self._guests = Guests(broker, leftovers)

    def run(self, application: StreamApplication) -> Run:
        """Run the application on the test's broker for the length of a `with` block; with `async with` on the
        running event loop. It may run again in the same test, and goes on where it was.

        Raises:
            LifecycleError: when the block begins: it runs already.
            StreambindError: when the block begins: it cannot start.
        """
        return Run(self._guests.running(application), self._guests.running_on_loop(application))

    def prepare(self, application: StreamApplication) -> AbstractContextManager[StreamApplication]:
        """Only put the application on the test's broker, for somebody else to start it in the block:
        `with streams.prepare(service.stream), TestClient(service.api) as client:`

        Raises:
            LifecycleError: when the block begins: it runs already.
        """
        return self._guests.prepared(application)

    def settle(self, within_s: float = 30) -> None:
        """Return when nothing is on its way any more: outboxes are empty, every input stands at the end of its
        destination, and nothing has moved between two looks, so that chains of listeners are through. In a test
        that is a coroutine: `await asyncio.to_thread(streams.settle)`.

        Raises:
            AssertionError: not within the time, or never: a partition has stopped. The text names what lags.
            LifecycleError: called on a thread that runs an event loop.
        """
        _refuse_event_loop()
        deadline = time.monotonic() + within_s
        first: Look | None = None
        recent: Look | None = None
        before: Look | None = None
        last: list[Look] = []
        while True:
            seen = look([guest for guest in self._guests.applications if guest.is_running], self._broker)
            if seen.is_quiet and before is not None and before.is_quiet and before.ends == seen.ends:
                return
            if seen.hopeless:
                raise AssertionError(f"the streams will not settle:\n{seen.report()}")
            first = first or seen
            if recent is None and time.monotonic() > deadline - within_s / 4:
                recent = seen
            if time.monotonic() > deadline:
                # One look may catch what is on its way: those that follow tell it from what stands still.
                last.append(seen)
            if len(last) == _LAST_LOOKS:
                report = report_unsettled(first, recent or first, last)
                raise AssertionError(f"the streams have not settled within {within_s:g} s:\n{report}")
            before = seen
            time.sleep(_BETWEEN_LOOKS_S)

    def published(self, binding: str, event: type[E]) -> list[E]:
        """What reached the destination of an output binding in this test, decoded by its content type, in the
        order of publication. Tombstones are left out: `records` has them.

        Raises:
            ConfigurationError: no application that ran in this test has such a binding.
            DecodeError: a message is of another type; a union (`A | B`) takes several.
        """
        application, properties = self._binding(binding)
        zone = ZoneInfo(application.configuration.properties.events.time_zone)
        decode: Callable[[bytes], E] = converter_for(properties.content_type).decoder(event, zone)
        return [decode(record.payload) for record in self.records(binding) if record.payload is not None]

    def records(self, binding: str) -> list[Message]:
        """The same as messages, with key, headers, partition and offset. Between partitions the broker's record
        time decides the order.

        Raises:
            ConfigurationError: no application that ran in this test has such a binding.
        """
        _, properties = self._binding(binding)
        destination = properties.destination or binding
        info = self._broker.describe(destination)
        if info is None:
            return []
        lanes: dict[int, list[Message]] = {}
        positions = dict(info.starts)
        while behind := {number: at for number, at in positions.items() if at < info.ends[number]}:
            for message in self._broker.read(destination, behind):
                partition, offset = message.partition or 0, message.offset or 0
                lanes.setdefault(partition, []).append(message)
                positions[partition] = offset + 1
        return list(heapq.merge(*lanes.values(), key=lambda message: message.timestamp_ms or 0))

    def close(self) -> None:
        """Stop what still runs. Called by the fixture."""
        self._guests.close()

    def _binding(self, name: str) -> tuple[StreamApplication, BindingProperties]:
        applications = self._guests.applications
        for application in applications:
            declared = application.configuration.find_binding(name)
            if declared is not None:
                return application, application.configuration.properties.bindings[declared]
        known = sorted({b for a in applications for b in a.configuration.properties.bindings})
        raise ConfigurationError(
            f"no application that ran in this test has a binding {name!r}; bindings: {', '.join(known) or 'none'}"
        )


def _refuse_event_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise LifecycleError("settle() waits, and would block the event loop: await asyncio.to_thread(streams.settle)")
