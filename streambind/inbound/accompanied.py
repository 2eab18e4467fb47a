"""An input at work together with the worker that tries its parked keys again."""

from __future__ import annotations

import time
from collections.abc import Sequence

from streambind.binding.binder import ConsumerBinding, PartitionState
from streambind.inbound.retry_worker import RetryWorker


class AccompaniedConsumer:
    """A `ConsumerBinding`: the binder's, and the worker starts, pauses and stops with it."""

    def __init__(self, consumer: ConsumerBinding, worker: RetryWorker) -> None:
        self._consumer = consumer
        self._worker = worker
        worker.resume()
        worker.start()

    def pause(self) -> None:
        self._worker.pause()
        self._consumer.pause()

    def resume(self) -> None:
        self._consumer.resume()
        self._worker.resume()

    def partitions(self) -> Sequence[PartitionState]:
        return self._consumer.partitions()

    def last_error(self) -> str | None:
        return self._consumer.last_error() or self._worker.last_error

    def away(self) -> str | None:
        return self._consumer.away()

    def unbind(self, timeout_ms: int) -> None:
        deadline = time.monotonic() + timeout_ms / 1000
        self._worker.finish()
        try:
            self._consumer.unbind(timeout_ms)
        finally:
            self._worker.stop(max(0, round((deadline - time.monotonic()) * 1000)))
