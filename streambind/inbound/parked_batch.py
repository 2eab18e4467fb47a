"""A parked message as a batch of one, for the guard and the dispatcher."""

from __future__ import annotations

from streambind.errors import PermanentError
from streambind.inbound.parked_queues import ParkedMessage
from streambind.message import Message, RawHeaders
from streambind.persistence.stored_headers import load_headers


class ParkedBatch:
    """A `Batch`."""

    def __init__(self, message: ParkedMessage) -> None:
        self._message = message
        self.destination = message.destination
        self.partition = message.partition
        self.position = message.offset
        self.next_offset = message.offset + 1

    def __len__(self) -> int:
        return 1

    def offset(self, i: int) -> int:
        return self._message.offset

    def key(self, i: int) -> bytes | None:
        return self._message.record_key

    def payload(self, i: int) -> bytes | None:
        return self._message.payload

    def raw_headers(self, i: int) -> RawHeaders:
        if self._message.headers is None:
            raise PermanentError("its headers could not be read when it was parked")
        try:
            return load_headers(self._message.headers)
        except (ValueError, TypeError, AttributeError) as error:
            raise PermanentError("its headers in sb_parked cannot be read any more") from error

    def timestamp_ms(self, i: int) -> int:
        return self._message.timestamp_ms

    def message(self, i: int) -> Message:
        return Message(
            self._message.payload,
            self._message.record_key,
            raw_headers=self.raw_headers(i),
            destination=self.destination,
            partition=self.partition,
            offset=self._message.offset,
            timestamp_ms=self._message.timestamp_ms,
        )

    def payloads(self) -> list[bytes | None]:
        return [self._message.payload]
