"""Leads from what was planned, and attached to sessions and listeners, to what runs at the moment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from streambind.binding.binder import ProducerBinding
from streambind.errors import LifecycleError
from streambind.outbound.outgoing import Outgoing
from streambind.outbound.sender import QueuedSender

if TYPE_CHECKING:
    from streambind.application.running import Running


class Links:
    """`running` is set while the application runs. Called from any thread."""

    def __init__(self) -> None:
        self.running: Running | None = None
        self._process: int | None = None

    def connect(self, running: Running) -> None:
        self.running, self._process = running, os.getpid()

    def disconnect(self) -> None:
        self.running = self._process = None

    def parts(self) -> Running:
        """
        Raises:
            LifecycleError: nothing runs, or the process was forked meanwhile.
        """
        self.refuse_fork()
        if self.running is None:
            raise LifecycleError("the application does not run: call start(), or use it as a context manager")
        return self.running

    def refuse_fork(self) -> None:
        """
        Raises:
            LifecycleError: the application was started, and then the process forked.
        """
        if self._process is not None and self._process != os.getpid():
            raise LifecycleError(
                "this process was forked after the application had been started, and threads and connections "
                "do not survive a fork: start it in the child instead (with gunicorn: without --preload)"
            )

    def wake(self) -> None:
        """Rows have been committed. Without a relay here another process sends them."""
        running = self.running
        if running is not None and running.relay is not None:
            running.relay.wake()

    def send_after_commit(self, messages: Sequence[Outgoing]) -> None:
        self.parts().outputs.send_after_commit(messages)

    def sender(self, output: str) -> QueuedSender:
        return self.parts().outputs.sender(output)

    def dead_letter_producer(self, name: str) -> ProducerBinding:
        return self.parts().inputs.dead_letter_producer(name)
