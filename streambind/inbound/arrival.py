"""One message on its way to its listeners: what several of them may ask for is made once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from streambind.errors import DecodeError
from streambind.inbound.limits import Limits
from streambind.message import Batch, Message


class Arrival:
    """A message of a batch and the session it is handled in (None without a database). Fields are read from
    the client when asked for, and then held against the limits. `decoded` holds payloads by the number of their
    decoder."""

    __slots__ = ("_decoded", "_document", "_limits", "_message", "batch", "index", "session")

    def __init__(self, batch: Batch, index: int, session: Any, *, limits: Limits) -> None:
        self.batch = batch
        self.index = index
        self.session = session
        self._decoded: dict[int, Any] | None = None
        self._limits = limits
        self._message: Message | None = None
        self._document: object = self

    @property
    def decoded(self) -> dict[int, Any]:
        if self._decoded is None:
            self._decoded = {}
        return self._decoded

    @property
    def message(self) -> Message:
        """
        Raises:
            DecodeError: it has too many headers, or too large ones.
        """
        if self._message is None:
            message = self.batch.message(self.index)
            self._limits.check_headers(message.raw_headers)
            self._message = message
        return self._message

    @property
    def headers(self) -> Mapping[str, object]:
        return self.message.headers

    @property
    def document(self) -> object:
        """The payload read as JSON, None for a tombstone.

        Raises:
            DecodeError: it is not JSON, or too large.
        """
        if self._document is self:
            payload = self.batch.payload(self.index)
            if payload is not None:
                self._limits.check_payload(payload)
            try:
                self._document = None if payload is None else from_json(payload)
            except ValueError as error:
                raise DecodeError(f"an expression reads the payload, which is not JSON: {error}") from error
        return self._document
