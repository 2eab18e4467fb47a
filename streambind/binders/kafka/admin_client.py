"""The one client that asks a broker for what is outside the data path."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Never, TypeVar

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from streambind.binders.kafka.error_mapping import broker_error, kafka_error
from streambind.errors import LifecycleError, StreambindError

T = TypeVar("T")
U = TypeVar("U")

_MAKES_TOPICS = "allow.auto.create.topics"
_LOST = (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)
"""After these a client may have nobody left to ask."""
_NONE: Mapping[int, Never] = {}
_GRACE_S = 5.0
"""The request's own time-out answers first; this only bounds a client that does not answer at all."""


class SharedAdminClient:
    """Confluent's client, made when it is first needed. Thread-safe."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = {"log_level": "0", **settings}
        self._lock = threading.Lock()
        self._client: AdminClient | None = None
        self._closed = False

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._client = None

    def let_go(self) -> None:
        """The next request has a client of its own."""
        with self._lock:
            self._client = None

    def ask(
        self,
        doing: str,
        request: Callable[[AdminClient], T],
        *,
        instead: Mapping[int, U] = _NONE,
        makes_topics: bool = False,
    ) -> T | U:
        """What the request returns. `instead`: what to return if the broker answers with an error of a code.
        `makes_topics`: whether a topic that is asked for may be made by that, which takes a client of its own.

        Raises:
            BrokerUnavailableError: no answer in time.
            StreambindError: what `error_mapping` says of another one.
        """
        try:
            return request(self._connected(makes_topics=makes_topics))
        except Exception as exc:
            error = kafka_error(exc)
            if error is not None and error.code() in instead:
                return instead[error.code()]
            raise self._failure(exc, doing) from exc

    def _connected(self, *, makes_topics: bool) -> AdminClient:
        with self._lock:
            if self._closed:
                raise LifecycleError("the Kafka binder is closed")
            if makes_topics:
                return self._made(makes_topics=True)
            if self._client is None:
                self._client = self._made(makes_topics=False)
            return self._client

    def _made(self, *, makes_topics: bool) -> AdminClient:
        try:
            return AdminClient({**self._settings, _MAKES_TOPICS: str(makes_topics).lower()})
        except Exception as exc:
            raise broker_error(exc, "connecting to Kafka") from exc

    def _failure(self, exc: Exception, doing: str) -> StreambindError:
        """What to raise. After a time-out, or where nobody was reached, the next request has a client of its own:
        this one may wait for a controller that is gone, whose successor it would hear of in five minutes. Whoever
        waits for an answer holds the client as long: its end would be the request's."""
        error = kafka_error(exc)
        if isinstance(exc, TimeoutError) or (error is not None and error.code() in _LOST):
            self.let_go()
        return broker_error(exc, doing)


def result(future: Any, timeout_s: float) -> Any:
    """What a request with this time-out has come to."""
    return future.result(timeout=timeout_s + _GRACE_S)
