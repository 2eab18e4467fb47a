"""A call that may block, made in another thread."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

from streambind.testing.binder_suite.bench import Bench

T = TypeVar("T")


class InThread(Generic[T]):
    """Makes the call as soon as it is entered. Leaving does not wait for it."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._results: list[T] = []
        self._errors: list[Exception] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> InThread[T]:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def rests(self, bench: Bench) -> None:
        """Wait until the call blocks: the thread is seen at the same place several times in a row."""
        places: list[object] = []

        def same_place() -> bool:
            frame = sys._current_frames().get(self._thread.ident or 0)
            places.append((frame.f_code, frame.f_lasti) if frame is not None else object())
            return len(places) >= 5 and len(set(places[-5:])) == 1

        bench.eventually(same_place, "the call does not block")

    def result(self, bench: Bench) -> T:
        """What the call returned; what it raised is raised here."""
        bench.eventually(lambda: not self._thread.is_alive(), "the call does not return")
        if self._errors:
            raise self._errors[0]
        return self._results[0]

    def _run(self) -> None:
        try:
            self._results.append(self._call())
        except Exception as error:  # noqa: BLE001 - `result` raises it
            self._errors.append(error)
