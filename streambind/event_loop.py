"""The bridge between streambind's threads and coroutines: synchronous code, run where it may await.

The core is written once, synchronously. Where a listener is `async def` or an engine is asynchronous, the same
code runs inside a greenlet on an event loop (SQLAlchemy's `greenlet_spawn`), and `await_only` suspends it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy.util import await_only, greenlet_spawn

from streambind.errors import LifecycleError

log = logging.getLogger("streambind")

T = TypeVar("T")


class EventLoop:
    """The event loop that coroutines run on: the host's running one, else one of our own, made on first use.

    Thread-safe. `call` blocks the calling thread until the work is done.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._calls: set[asyncio.Task[Any]] = set()
        """Touched on the loop only."""

    def adopt(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use the host's running loop, until `close()`.

        Raises:
            LifecycleError: a loop is in use already.
        """
        with self._lock:
            if self._loop is not None:
                raise LifecycleError("this application runs on another event loop already; stop it first")
            self._loop = loop

    def call(self, work: Callable[[], T], *, timeout_s: float | None = None) -> T:
        """Run synchronous `work` inside a greenlet on the loop, where it may use `await_result`.

        Raises:
            TimeoutError: not within the time; it goes on.
            LifecycleError: it was cancelled, because the application stops.
        """
        if self.is_current():
            return work()

        async def main() -> T:
            task = asyncio.current_task()
            assert task is not None
            self._calls.add(task)
            try:
                return await greenlet_spawn(work)
            finally:
                self._calls.discard(task)

        try:
            return asyncio.run_coroutine_threadsafe(main(), self._running()).result(timeout_s)
        except CancelledError:
            raise LifecycleError("the application stops: this was cancelled") from None

    def is_current(self) -> bool:
        """Whether the calling thread is the one that runs the loop."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    @property
    def is_own(self) -> bool:
        """Whether the loop is one that was made here."""
        return self._thread is not None

    def cancel(self, timeout_s: float) -> None:
        """Cancel what `call` still runs, so that it gives back what it holds, and give it the time to."""
        with self._lock:
            loop = self._loop
        if loop is not None and self._calls:
            with suppress(TimeoutError):
                asyncio.run_coroutine_threadsafe(_end(self._calls), loop).result(timeout_s)

    def close(self, timeout_s: float = 1.0) -> None:
        """Let go of the host's loop, or end our own. A coroutine that blocks it keeps its thread, which is said.
        Idempotent; never called from the loop itself."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout_s)
        if thread.is_alive():
            log.warning("a coroutine blocks the event loop: its thread is left behind, and what it holds with it")

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name="streambind-event-loop", daemon=True
                )
                self._thread.start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until it is stopped; then end what still runs on it, and close it."""
    loop.run_forever()
    loop.run_until_complete(_end(asyncio.all_tasks(loop)))
    loop.close()


async def _end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


def await_result(awaitable: Awaitable[T]) -> T:
    """Wait for an awaitable from synchronous code that `EventLoop.call` runs; the loop goes on meanwhile."""
    return await_only(awaitable)
