"""What a handler works on, for what it publishes."""

from __future__ import annotations

from collections.abc import Sequence

from streambind.errors import PermanentError
from streambind.headers import header_text
from streambind.message import ROUTE, Batch
from streambind.route import Route


class MessageCause:
    """The messages at `unit` of a batch. Their headers are read when something is published, not before."""

    __slots__ = ("_batch", "unit")

    def __init__(self, batch: Batch, unit: Sequence[int] = ()) -> None:
        self._batch = batch
        self.unit = unit

    def route(self) -> Route:
        return Route.of_all(self._route(index).through(self._batch.destination) for index in self.unit)

    def _route(self, index: int) -> Route:
        try:
            return Route.parse(header_text(self._batch.raw_headers(index), ROUTE))
        except PermanentError:
            return Route()
