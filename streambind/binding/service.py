"""Starts and stops bindings: outputs first, inputs last; the reverse on stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from streambind.back_off import BackOff
from streambind.binding.binding import Binding, BindingState, BindingStatus, InputBinding, OutputBinding
from streambind.errors import BrokerUnavailableError, ConfigurationError, StreambindError

log = logging.getLogger("streambind.binding")

AnyBinding = InputBinding | OutputBinding

_FIRST_RETRY_S = 1.0


class BindingService:
    """Holds the bindings of an application.

    `start` tries each binding once: a broker that is away does not stop the application, its bindings wait and
    one thread tries them again, after about 1, 2, 4 ... seconds, at most `retry_interval_s`. With an interval of
    0 a start that fails is fatal. A binding that somebody stops stays stopped.
    """

    def __init__(
        self, outputs: Sequence[OutputBinding], inputs: Sequence[InputBinding], *, retry_interval_s: float
    ) -> None:
        self._outputs = list(outputs)
        self._inputs = list(inputs)
        self._all: list[AnyBinding] = [*outputs, *inputs]
        self._retry_interval_s = retry_interval_s
        self._stopping = threading.Event()
        self._retry: threading.Thread | None = None

    def start(self, names: Sequence[str]) -> None:
        """Start the bindings of these names.

        Raises:
            StreambindError: a start was refused for good, or failed at all with a retry interval of 0; what
                was started is stopped again.
        """
        self._stopping.clear()
        for binding in self._all:
            binding.is_wanted = binding.name in names
        self._try_wanted()
        refused = self._refused()
        if refused is not None:
            raise refused
        if self._retry_interval_s > 0:
            self._retry = threading.Thread(target=self._keep_trying, name="streambind-bindings", daemon=True)
            self._retry.start()

    def stop_inputs(self, timeout_ms: int) -> None:
        """Stop taking messages; deliveries that run may end within the time."""
        self._stopping.set()
        if self._retry is not None:
            self._retry.join(timeout_ms / 1000)
            self._retry = None
        _stop_all(self._inputs, timeout_ms)

    def stop_outputs(self, timeout_ms: int) -> None:
        """Stop sending; called when nothing can produce messages any more."""
        _stop_all(self._outputs, timeout_ms)

    def binding(self, name: str) -> AnyBinding:
        """
        Raises:
            ConfigurationError: no binding of that name is in use.
        """
        for binding in self._all:
            if binding.name == name:
                return binding
        known = ", ".join(sorted(b.name for b in self._all)) or "none"
        raise ConfigurationError(f"no binding {name!r} is in use by this application; in use: {known}")

    def status(self) -> list[BindingStatus]:
        return [binding.status() for binding in self._all]

    def _try_wanted(self) -> None:
        """Try those that do not run; what the log tells of each says why it waits."""
        away: set[str] = set()
        for binding in self._unbound():
            # One time-out per broker and round is enough.
            if binding.binder in away:
                binding.wait_for(f"broker of binder {binding.binder} is away")
                continue
            binding.start_again()
            if isinstance(binding.error, BrokerUnavailableError):
                away.add(binding.binder)

    def _unbound(self) -> list[AnyBinding]:
        bound = (BindingState.RUNNING, BindingState.PAUSED)
        return [b for b in self._all if b.is_wanted and b.state not in bound]

    def _refused(self) -> Exception | None:
        for binding in self._unbound():
            fatal = binding.state is BindingState.FAILED or self._retry_interval_s == 0
            if fatal and binding.error is not None:
                return binding.error
        return None

    def _keep_trying(self) -> None:
        back_off = BackOff(first_s=_FIRST_RETRY_S, longest_s=self._retry_interval_s)
        told: list[str] = []
        while True:
            waiting = [binding.name for binding in self._unbound()]
            if not waiting:
                back_off.succeed()
            pause_s = back_off.fail()
            if waiting and waiting != told:
                log.warning(
                    "waiting: %s; tried again in %.2g s, later every %g s at least",
                    *(", ".join(waiting), pause_s, self._retry_interval_s),
                )
            told = waiting
            if self._stopping.wait(pause_s):
                return
            self._try_wanted()


def _stop_all(bindings: Sequence[Binding[Any]], timeout_ms: int) -> None:
    """Stop them one after the other within one time; an error of one does not keep the others running."""
    deadline = time.monotonic() + timeout_ms / 1000
    for binding in reversed(bindings):
        try:
            binding.stop(max(0, round((deadline - time.monotonic()) * 1000)))
        except StreambindError:
            log.exception("binding %s did not stop cleanly", binding.name)
