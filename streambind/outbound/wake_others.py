"""Wakes the relays of other processes after a commit, and is woken by them: without it they look by themselves,
at intervals."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable

from streambind.back_off import BackOff
from streambind.persistence.database import Database
from streambind.persistence.failures import describe
from streambind.persistence.notifications import Notifications, notify

log = logging.getLogger("streambind.relay")

_QUIET_S = 0.01
"""NOTIFY takes a lock of the whole database while it commits: at most one in that time."""


class Notifier:
    """Tells others that rows have been committed, on a thread of its own: never in the transaction that wrote
    them, never in the way of who committed it. Many calls of `wake` are one NOTIFY. One that fails is left out:
    relays look by themselves."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._signal = threading.Event()
        self._wanted = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="streambind-notify", daemon=True)

    def start(self) -> None:
        """Start the thread; connects to nothing before the first `wake`."""
        self._thread.start()

    def wake(self) -> None:
        """Rows have been committed. Any thread; cheap; never raises."""
        self._wanted = True
        if not self._signal.is_set():
            self._signal.set()

    def stop(self, timeout_ms: int) -> None:
        """Tell what is still to be told, within the time. Idempotent."""
        self._stopping.set()
        self._signal.set()
        if self._thread.is_alive():
            self._thread.join(timeout_ms / 1000)

    def _run(self) -> None:
        back_off, pause = BackOff(), _QUIET_S
        while not self._stopping.is_set() or self._wanted:
            self._signal.wait()
            self._signal.clear()
            if not self._wanted:
                continue
            self._wanted = False  # before the NOTIFY: who commits from now on wants another one
            try:
                notify(self._database)
            except Exception as error:  # noqa: BLE001 - a wake is a courtesy
                if pause == _QUIET_S:
                    log.warning(
                        "relay: other relays cannot be woken and find rows by polling: %s", describe(error)
                    )
                pause = back_off.fail()
            else:
                back_off.succeed()
                pause = _QUIET_S
            self._stopping.wait(pause)


class Listener:
    """Calls `wake` whenever another process has committed, on a thread of its own. Where that does not work,
    the relay goes on by polling, and the log says so."""

    def __init__(self, database: Database, wake: Callable[[], None]) -> None:
        self._notifications = Notifications(database)
        self._wake = wake
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="streambind-listen", daemon=True)
        self.listens = threading.Event()
        """Whether it is connected at this moment."""

    def start(self) -> None:
        """Start the thread; trouble shows in the log."""
        self._thread.start()

    def stop(self, timeout_ms: int) -> None:
        """Disconnect, within the time. Idempotent."""
        self._stopping.set()
        self._notifications.interrupt()
        if self._thread.is_alive():
            self._thread.join(timeout_ms / 1000)

    def _run(self) -> None:
        back_off, polling = BackOff(), False
        while not self._stopping.is_set():
            try:
                self._notifications.open()
                if polling:
                    log.info("relay: woken by commits of other processes again")
                polling = False
                back_off.succeed()
                self.listens.set()
                self._wake()  # for what was told before
                while not self._stopping.is_set():
                    if self._notifications.wait():
                        self._wake()
            except Exception as error:  # noqa: BLE001 - the relay polls meanwhile
                if not polling and not self._stopping.is_set():
                    log.warning(
                        "relay: not woken by commits of other processes, it polls: LISTEN fails: %s",
                        describe(error),
                    )
                polling = True
            self.listens.clear()
            with contextlib.suppress(Exception):  # what is lost cannot be closed
                self._notifications.close()
            self._stopping.wait(back_off.fail() if polling else 0)
