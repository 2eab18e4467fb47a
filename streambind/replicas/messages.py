"""Messages that were read from a destination, as a batch."""

from __future__ import annotations

from collections.abc import Sequence

from streambind.message import Message, RawHeaders


class MessageBatch:
    """A `Batch`: consecutive messages of one partition, at least one. `position` and `next_offset` say what it
    stands for; offsets in between may be without a message."""

    def __init__(self, messages: Sequence[Message], *, position: int = 0, next_offset: int = 0) -> None:
        self._messages = messages
        self.destination = messages[0].destination or ""
        self.partition = messages[0].partition or 0
        self.position = position
        self.next_offset = next_offset

    def __len__(self) -> int:
        return len(self._messages)

    def offset(self, i: int) -> int:
        return self._messages[i].offset or 0

    def key(self, i: int) -> bytes | None:
        return self._messages[i].key

    def payload(self, i: int) -> bytes | None:
        return self._messages[i].payload

    def raw_headers(self, i: int) -> RawHeaders:
        return self._messages[i].raw_headers

    def timestamp_ms(self, i: int) -> int:
        return self._messages[i].timestamp_ms or 0

    def message(self, i: int) -> Message:
        return self._messages[i]

    def payloads(self) -> list[bytes | None]:
        return [message.payload for message in self._messages]
