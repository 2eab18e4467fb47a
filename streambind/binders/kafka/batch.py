"""A batch as the client hands it over: nothing is read or copied before somebody asks."""

from __future__ import annotations

from operator import methodcaller
from typing import TypeAlias, cast

from confluent_kafka import Message as ClientMessage

from streambind.errors import PermanentError
from streambind.message import Message, RawHeaders
from streambind.read_ahead import ReadAhead

KafkaMessage: TypeAlias = "ClientMessage[bytes, bytes]"
_value = ClientMessage.value
# Not `message.headers()`: a call that the interpreter has specialised does not look whether the client set an
# exception beside its result, and goes on with a list of holes, which crashes the process.
_read_headers = methodcaller("headers")

_UNREADABLE: list[tuple[str, str | bytes | None]] = []
"""Known by its identity: what a message has in place of headers that the client could not read."""


class KafkaBatch:
    """Consecutive messages of one partition, none of them an error. Immutable, readable from any thread; `ahead`
    is set before others see it.

    A client's message is false when its value is empty or absent, so nothing here asks for its truth. Where the
    name of a header is not UTF-8, `raw_headers` and `message` raise PermanentError.
    """

    __slots__ = ("_messages", "ahead", "destination", "next_offset", "partition", "position")

    def __init__(self, destination: str, partition: int, position: int, messages: list[KafkaMessage]) -> None:
        self.destination = destination
        self.partition = partition
        self.position = position
        self.next_offset = _offset(messages[-1]) + 1
        self._messages = messages
        self.ahead: ReadAhead | None = None

    def __len__(self) -> int:
        return len(self._messages)

    def offset(self, i: int) -> int:
        return _offset(self._messages[i])

    def key(self, i: int) -> bytes | None:
        return self._messages[i].key()

    def payload(self, i: int) -> bytes | None:
        return self._messages[i].value()

    def payloads(self) -> list[bytes | None]:
        return [*map(_value, self._messages)]

    def raw_headers(self, i: int) -> RawHeaders:
        return _headers(self._messages[i])

    def timestamp_ms(self, i: int) -> int:
        return self._messages[i].timestamp()[1]

    def message(self, i: int) -> Message:
        return message_of(self._messages[i], self.destination)

    def rest(self, done: int) -> list[KafkaMessage]:
        """The client's messages after the first `done`."""
        return self._messages[done:]

    def forget(self) -> None:
        """Nobody will ask for it: let nothing more of it be read ahead."""
        if self.ahead is not None:
            self.ahead.drop()

    def __repr__(self) -> str:
        return f"<KafkaBatch {self.destination}[{self.partition}]@{self.position}..{self.next_offset}>"


def message_of(message: KafkaMessage, destination: str, *, strict: bool = True) -> Message:
    """Every field of a client's message, read. Unless `strict`, one whose headers cannot be read has none.

    Raises:
        PermanentError: the name of a header is not UTF-8.
    """
    headers: RawHeaders = ()
    try:
        headers = [*_headers(message)]
    except PermanentError:
        if strict:
            raise
    return Message(
        message.value(),
        message.key(),
        raw_headers=headers,
        destination=destination,
        partition=message.partition(),
        offset=message.offset(),
        timestamp_ms=message.timestamp()[1],
    )


def _offset(message: KafkaMessage) -> int:
    offset = message.offset()
    assert offset is not None, "a message without error has an offset"
    return offset


def _headers(message: KafkaMessage) -> RawHeaders:
    """The client's own, not to be changed.

    Raises:
        PermanentError: the name of a header is not UTF-8; each time they are asked for.
    """
    try:
        headers = _read_headers(message)
    except (SystemError, UnicodeError):
        # The client keeps what it has half read, and crashes the process when it is asked again.
        message.set_headers(_UNREADABLE)
        headers = _UNREADABLE
    if headers is _UNREADABLE:
        raise PermanentError("a header's name is not UTF-8, so that no header of the message can be read")
    if headers is None:
        return ()
    # Of what it has read the client makes pairs of text and bytes; its types are those of what may be sent.
    return cast("RawHeaders", headers)
