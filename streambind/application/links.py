"""Leads from what was planned, and attached to sessions and listeners, to what runs at the moment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

from streambind.binding.binder import ProducerBinding
from streambind.errors import LifecycleError
from streambind.outbound.outgoing import Outgoing
from streambind.outbound.sender import OnError, QueuedSender, report_unsent, send_error
from streambind.outbound.wire_message import direct_message


class Parts(Protocol):
    """What the planned parts ask of a running application."""

    def wake(self) -> None:
        """Rows have been committed; never raises."""
        ...

    def send_after_commit(self, messages: Sequence[Outgoing]) -> None:
        """These have been committed; never raises."""
        ...

    def sender(self, output: str) -> QueuedSender: ...
    def dead_letter_producer(self, name: str, destination: str) -> ProducerBinding: ...


class Links:
    """Connected while the application runs. Called from any thread.

    `on_publish_error` is told what a commit wanted to send while nothing ran.
    """

    def __init__(self, on_publish_error: OnError | None = None) -> None:
        self._on_publish_error = on_publish_error
        self._parts: Parts | None = None
        self._process: int | None = None

    @property
    def is_forked(self) -> bool:
        """Whether this process was forked after the application had been started: its threads are not here, and
        its locks may be held by nobody."""
        return self._process is not None and self._process != os.getpid()

    def connect(self, parts: Parts) -> None:
        self._parts, self._process = parts, os.getpid()

    def disconnect(self) -> None:
        self._parts = self._process = None

    def parts(self) -> Parts:
        """
        Raises:
            LifecycleError: nothing runs, or the process was forked meanwhile.
        """
        self.refuse_fork()
        if self._parts is None:
            raise LifecycleError("the application does not run: call start(), or use it as a context manager")
        return self._parts

    def refuse_fork(self) -> None:
        """
        Raises:
            LifecycleError: the application was started, and then the process forked.
        """
        if self.is_forked:
            raise LifecycleError(
                "this process was forked after the application had been started, and threads and connections "
                "do not survive a fork: start it in the child instead (with gunicorn: without --preload)"
            )

    def wake(self) -> None:
        """Rows have been committed; never raises. Where nothing runs another process sends them."""
        parts = self._parts
        if parts is not None and not self.is_forked:
            parts.wake()

    def send_after_commit(self, messages: Sequence[Outgoing]) -> None:
        """What a commit has released; never raises: where nothing runs it goes to `on_publish_error` and the
        log."""
        try:
            parts = self.parts()
        except LifecycleError as error:
            report_unsent([direct_message(m) for m in messages], send_error(error), self._on_publish_error)
        else:
            parts.send_after_commit(messages)

    def sender(self, output: str) -> QueuedSender:
        return self.parts().sender(output)

    def dead_letter_producer(self, name: str, destination: str) -> ProducerBinding:
        return self.parts().dead_letter_producer(name, destination)
