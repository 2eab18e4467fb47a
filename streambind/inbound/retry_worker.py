"""The thread that tries parked keys again: one per input binding whose positions are in the database."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from streambind.inbound.mass_failure import MassFailure
from streambind.inbound.parked_retry import ParkedRetry
from streambind.inbound.retry import trouble_delay_ms
from streambind.persistence.failures import describe, is_database_trouble
from streambind.persistence.stack_trace import logged_trace

_log = logging.getLogger(__name__)

_SHORTEST_POLL_S = 0.05
_UPKEEP_EVERY_S = 600.0


class RetryWorker:
    """Runs between `start` and `stop`, on a thread named after its binding. Any number of them, in any number of
    processes, may work on one database. All methods may be called from any thread.

    While keys fail en masse it stands still: tries would be used up for an outage. `upkeep` is called now and
    then.
    """

    def __init__(
        self,
        binding: str,
        retry: ParkedRetry,
        *,
        poll_interval_ms: int,
        mass_failure: MassFailure,
        upkeep: Callable[[], object] | None = None,
    ) -> None:
        self._binding = binding
        self.retry = retry
        self._poll_s = poll_interval_ms / 1000
        self._mass_failure = mass_failure
        self._upkeep = upkeep
        self._upkeep_at = 0.0
        self._lock = threading.Lock()
        self._signal = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._paused = False
        self._idle_s = _SHORTEST_POLL_S
        self._troubles = 0
        self.last_error: str | None = None

    def start(self) -> None:
        """Start the thread, unless it runs. Connects to nothing here: trouble shows in `last_error`."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            self._signal, self._stopping = threading.Event(), threading.Event()
            name = f"{self._binding}-parked"
            self._thread = threading.Thread(
                target=self._run, args=(self._signal, self._stopping), name=name, daemon=True
            )
            self._thread.start()

    def wake(self) -> None:
        """Something was parked, or what was waited for may be there: look soon. Cheap; never raises."""
        self._idle_s = _SHORTEST_POLL_S
        self._signal.set()

    def pause(self) -> None:
        """Begin no further try until `resume`; one that has begun ends. Does not wait."""
        with self._lock:
            self._paused = True

    def resume(self) -> None:
        with self._lock:
            self._paused = False
        self.wake()

    def finish(self) -> None:
        """Begin no further try; does not wait."""
        self._stopping.set()
        self._signal.set()

    def stop(self, timeout_ms: int) -> None:
        """Let the running try end within the time. What is not committed then is tried again by whoever comes
        next. Idempotent."""
        self.finish()
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_ms / 1000)
            if thread.is_alive():
                _log.warning("%s: a parked message was still being tried after %d ms", self._binding, timeout_ms)

    def _run(self, signal: threading.Event, stopping: threading.Event) -> None:
        try:
            while not stopping.is_set():
                pause_s = self._guarded_turn()
                signal.wait(pause_s)
                signal.clear()
        except BaseException as error:
            self.last_error = f"parked keys are tried no more, start the binding again: {describe(error)}"
            raise

    def _guarded_turn(self) -> float | None:
        """One turn; returns for how long to wait, None: to be woken."""
        with self._lock:
            if self._paused:
                return None
        if self._mass_failure.is_open:
            return self._poll_s
        try:
            if self._upkeep is not None and time.monotonic() >= self._upkeep_at:
                self._upkeep_at = time.monotonic() + _UPKEEP_EVERY_S
                self._upkeep()
            turn = self.retry.turn()
        except Exception as error:  # noqa: BLE001 - the worker never dies silently: it says so and tries again
            return self._troubled(error)
        self._troubles, self.last_error = 0, None
        if turn.claimed:
            self._idle_s = _SHORTEST_POLL_S
            return 0.0
        if turn.due_in_ms is not None and turn.due_in_ms > 0:
            return min(turn.due_in_ms / 1000, self._poll_s)
        # None is parked, or what is due is in others' hands.
        idle_s, self._idle_s = self._idle_s, min(self._idle_s * 2, self._poll_s)
        return min(idle_s, self._poll_s)

    def _troubled(self, error: Exception) -> float:
        self._troubles += 1
        pause_s = trouble_delay_ms(self._troubles, random.random()) / 1000
        self.last_error = f"parked keys: {describe(error)}"
        if is_database_trouble(error):
            _log.warning("%s: %s; again in %.1f s", self._binding, self.last_error, pause_s)
        else:
            # Not exc_info: errors and their causes may quote row data.
            _log.error("%s: %s; again in %.1f s%s", self._binding, self.last_error, pause_s, logged_trace(error))
        return pause_s
