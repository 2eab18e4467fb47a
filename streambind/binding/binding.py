"""A channel name tied to a destination: its state, and the handle that the binder gave for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from streambind.binding.binder import ConsumerBinding, PartitionState, ProducerBinding
from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.errors import (
    BrokerUnavailableError,
    DatabaseUnavailableError,
    LifecycleError,
    StreambindError,
)
from streambind.message import Message

log = logging.getLogger("streambind.binding")


class BindingState(StrEnum):
    """`waiting`: broker or database are away; `failed`: the start was refused. Both are tried again."""

    STOPPED = "stopped"
    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class BindingStatus:
    """A binding as people see it; `partitions` is empty for outputs."""

    name: str
    direction: str
    destination: str
    group: str | None
    binder: str
    state: BindingState
    last_error: str | None
    partitions: tuple[PartitionState, ...] = ()


class _Unbindable(Protocol):
    def unbind(self, timeout_ms: int) -> None: ...


Handle = TypeVar("Handle", bound=_Unbindable)


class Binding(Generic[Handle]):
    """Start and stop are idempotent and may be called from any thread; they wait for each other.

    `bind` makes the binder's handle; where it raises BrokerUnavailableError or DatabaseUnavailableError the
    state is `waiting`, with another StreambindError `failed`; the binding service tries both again.
    """

    direction = ""

    def __init__(
        self,
        name: str,
        bind: Callable[[], Handle],
        *,
        destination: str,
        binder: str,
        group: str | None = None,
    ) -> None:
        self.name = name
        self.destination = destination
        self.binder = binder
        self.group = group
        self.error: Exception | None = None
        self.is_wanted = False
        self._bind = bind
        self._handle: Handle | None = None
        self._state = BindingState.STOPPED
        self._lock = threading.RLock()

    @property
    def state(self) -> BindingState:
        return self._state

    def start(self) -> None:
        """Bind, unless bound already; a failure shows in `state` and `error`, and once in the log. Never raises;
        `is_wanted` says whether it was started last, or stopped."""
        with self._lock:
            self.is_wanted = True
            if self._handle is not None:
                return
            before, self.error = self.error, None
            try:
                self._handle = self._bind()
            except (BrokerUnavailableError, DatabaseUnavailableError) as error:
                self._state, self.error = BindingState.WAITING, error
            except Exception as error:
                self._state, self.error = BindingState.FAILED, error
                if not isinstance(error, StreambindError):
                    log.exception("binding %s: its start met a defect", self.name)
            else:
                self._state = self._started(self._handle)
                log.info("binding %s: %s, destination %s", self.name, self._state, self.destination)
            if self.error is not None and str(self.error) != str(before):
                log.warning("binding %s: %s: %s", self.name, self._state, self.error)

    def start_again(self) -> None:
        """Try a start once more, unless it has succeeded or the binding was stopped meanwhile."""
        with self._lock:
            if self.is_wanted:
                self.start()

    def wait_for(self, reason: str) -> None:
        """Wait without trying: the broker is known to be away. Says so once."""
        with self._lock:
            if self.is_wanted and self._handle is None:
                if self.error is None:
                    log.warning("binding %s: %s: %s", self.name, BindingState.WAITING, reason)
                self._state, self.error = BindingState.WAITING, BrokerUnavailableError(reason)

    def stop(self, timeout_ms: int) -> None:
        """Unbind: running work ends within the time."""
        with self._lock:
            self.is_wanted = False
            handle, self._handle = self._handle, None
            if handle is not None:
                handle.unbind(timeout_ms)
                log.info("binding %s: stopped", self.name)
            self._state, self.error = BindingState.STOPPED, None

    def status(self) -> BindingStatus:
        return BindingStatus(
            name=self.name,
            direction=self.direction,
            destination=self.destination,
            group=self.group,
            binder=self.binder,
            state=self._state,
            last_error=str(self.error) if self.error else None,
        )

    def _started(self, handle: Handle) -> BindingState:
        return BindingState.RUNNING

    def _away(self) -> str:
        reason = f": {self.error}" if self.error else ""
        return f"binding {self.name} to destination {self.destination} is {self._state}{reason}"


class InputBinding(Binding[ConsumerBinding]):
    """An input. A pause survives a restart of the binding."""

    direction = "in"
    _paused = False

    def pause(self) -> None:
        """Take no new messages; what is being handled ends."""
        self._set_paused(True)

    def resume(self) -> None:
        self._set_paused(False)

    def status(self) -> BindingStatus:
        status, handle = super().status(), self._handle
        if handle is None:
            return status
        away = handle.away()
        waits = away is not None and status.state is BindingState.RUNNING
        return replace(
            status,
            state=BindingState.WAITING if waits else status.state,
            last_error=status.last_error or away or handle.last_error(),
            partitions=tuple(handle.partitions()),
        )

    def _started(self, handle: ConsumerBinding) -> BindingState:
        if not self._paused:
            return BindingState.RUNNING
        handle.pause()
        return BindingState.PAUSED

    def _set_paused(self, paused: bool) -> None:
        with self._lock:
            self._paused = paused
            if self._handle is not None:
                if paused:
                    self._handle.pause()
                else:
                    self._handle.resume()
                self._state = BindingState.PAUSED if paused else BindingState.RUNNING


class OutputBinding(Binding[ProducerBinding]):
    """An output."""

    direction = "out"

    def producer(self) -> ProducerBinding:
        """The binder's handle.

        Raises:
            BrokerUnavailableError: the binding is not running; the text says why.
        """
        handle = self._handle
        if handle is None:
            raise BrokerUnavailableError(self._away())
        return handle


class DirectProducer:
    """A ProducerBinding that binds when it is first used: for direct sends through an output whose events
    otherwise leave through the outbox. A broker that is away makes sends fail, not the start."""

    def __init__(self, binding: OutputBinding) -> None:
        self._binding = binding
        self._stopped = False

    def send(self, messages: Sequence[Message]) -> list[Sent | Failed | Unknown]:
        if self._stopped:
            raise LifecycleError(f"binding {self._binding.name} has been stopped; send before stop()")
        self._binding.start()
        try:
            producer = self._binding.producer()
        except BrokerUnavailableError as error:
            return [Failed(error, permanent=False) for _ in messages]
        return producer.send(messages)

    def max_payload_bytes(self) -> int | None:
        try:
            return self._binding.producer().max_payload_bytes()
        except BrokerUnavailableError:
            return None

    def purge(self) -> None:
        self._stopped = True
        if self._binding.state is BindingState.RUNNING:
            self._binding.producer().purge()

    def unbind(self, timeout_ms: int) -> None:
        self._stopped = True
        self._binding.stop(timeout_ms)
