"""The bridge between streambind's threads and coroutines: synchronous code, run where it may await.

The core is written once, synchronously. Where a listener is `async def` or an engine is asynchronous, the same
code runs inside a greenlet on an event loop (SQLAlchemy's `greenlet_spawn`), and `await_only` suspends it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.util import await_only, greenlet_spawn

from streambind.errors import LifecycleError

T = TypeVar("T")


class EventLoop:
    """The event loop that coroutines run on: the host's running one, else one of our own, made on first use.

    Thread-safe. `call` blocks the calling thread until the work is done.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def adopt(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use the host's running loop, until `close()`.

        Raises:
            LifecycleError: a loop is in use already.
        """
        with self._lock:
            if self._loop is not None:
                raise LifecycleError("this application runs on another event loop already; stop it first")
            self._loop = loop

    def call(self, work: Callable[[], T]) -> T:
        """Run synchronous `work` inside a greenlet on the loop, where it may use `await_result`."""
        if self.is_current():
            return work()

        async def main() -> T:
            return await greenlet_spawn(work)

        return asyncio.run_coroutine_threadsafe(main(), self._running()).result()

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

    def close(self) -> None:
        """Let go of the host's loop, or end our own. Idempotent; never called from the loop itself."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="streambind-event-loop", daemon=True
                )
                self._thread.start()
            return self._loop


def await_result(awaitable: Awaitable[T]) -> T:
    """Wait for an awaitable from synchronous code that `EventLoop.call` runs; the loop goes on meanwhile."""
    return await_only(awaitable)
