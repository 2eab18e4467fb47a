"""What the embedded broker cannot do by itself, done on the wire before requests reach it (pure).

It makes topics of a fixed size when somebody asks for them, cannot create them on request, and lets a fetch
without data wait to the end of its time. So requests are read on their way: topics are made as asked for, and
fetches wait only briefly. Everything else passes as it is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

FETCH, METADATA, API_VERSIONS, CREATE_TOPICS = 1, 3, 18, 19
JOIN_GROUP, HEARTBEAT, LEAVE_GROUP, SYNC_GROUP = MEMBERSHIP = 11, 12, 13, 14
MAX_FETCH_WAIT_MS = 25
_CREATE_TOPICS_VERSIONS = (0, 4)
_FLEXIBLE_FROM = {FETCH: 12, METADATA: 9}
_INVALID_PARTITIONS = 37
_TOPIC_ALREADY_EXISTS = 36

MakeTopic = Callable[[str, int | None], bool]
"""Make a topic of so many partitions (None: the default); False if it exists."""


RenameGroup = Callable[[bytes, "Request", object], bytes]
"""A request for a group's membership, of one connection, as the broker is to see it."""


class Reader:
    """Kafka's primitive types, one after the other."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self.at = at

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(f">{form}", self._data, self.at)
        self.at += struct.calcsize(form)
        return int(value)

    def skip(self, size: int) -> None:
        self.at += size

    def text(self) -> str | None:
        return self._take(self.number("h"))

    def compact_text(self) -> str | None:
        return self._take(self.varint() - 1)

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def tags(self) -> None:
        for _ in range(self.varint()):
            self.varint()
            self.skip(self.varint())

    def _take(self, size: int) -> str | None:
        if size < 0:
            return None
        self.at += size
        return self._data[self.at - size : self.at].decode()


@dataclass(frozen=True, slots=True)
class Request:
    """The header of a request, and where its body begins."""

    api: int
    version: int
    correlation: int
    body: int

    @classmethod
    def of(cls, frame: bytes) -> Request:
        reader = Reader(frame)
        api, version, correlation = reader.number("h"), reader.number("h"), reader.number("i")
        reader.text()
        if version >= _FLEXIBLE_FROM.get(api, 1 << 15):
            reader.tags()
        return cls(api, version, correlation, reader.at)


class Conversation:
    """One client's connection. Frames come without their length. One thread calls `request`, one `response`."""

    def __init__(
        self, make_topic: MakeTopic, *, creates_topics: bool = True, rename_group: RenameGroup | None = None
    ) -> None:
        self._make_topic = make_topic
        self._rename_group = rename_group
        self._creates_topics = creates_topics
        self._asked_versions: dict[int, int] = {}

    def request(self, frame: bytes) -> tuple[bytes | None, bytes | None]:
        """What goes on to the broker, and what is answered at once."""
        request = Request.of(frame)
        match request.api:
            case api if api == FETCH:
                return _impatient(frame, request), None
            case api if api == METADATA:
                for name in _wanted_topics(frame, request):
                    self._make_topic(name, None)
            case api if api == API_VERSIONS and self._creates_topics:
                self._asked_versions[request.correlation] = request.version
            case api if api == CREATE_TOPICS:
                return None, self._create(frame, request)
            case api if api in MEMBERSHIP and self._rename_group is not None:
                return self._rename_group(frame, request, self), None
        return frame, None

    def response(self, frame: bytes) -> bytes:
        """What goes back to the client."""
        version = self._asked_versions.pop(Reader(frame).number("i"), None)
        return frame if version is None else _with_create_topics(frame)

    def _create(self, frame: bytes, request: Request) -> bytes:
        results = []
        for name, partitions in _new_topics(frame, request):
            error = 0
            if partitions == 0 or partitions < -1:
                error = _INVALID_PARTITIONS
            elif not self._make_topic(name, None if partitions == -1 else partitions):
                error = _TOPIC_ALREADY_EXISTS
            results.append(text(name) + struct.pack(">h", error) + (b"\xff\xff" if request.version >= 1 else b""))
        throttle = b"\0\0\0\0" if request.version >= 2 else b""
        return (
            struct.pack(">i", request.correlation) + throttle + struct.pack(">i", len(results)) + b"".join(results)
        )


def _impatient(frame: bytes, request: Request) -> bytes:
    """The same fetch, waiting no longer than MAX_FETCH_WAIT_MS."""
    at = request.body + (4 if request.version < 15 else 0)
    (wait_ms,) = struct.unpack_from(">i", frame, at)
    if wait_ms <= MAX_FETCH_WAIT_MS:
        return frame
    return frame[:at] + struct.pack(">i", MAX_FETCH_WAIT_MS) + frame[at + 4 :]


def _wanted_topics(frame: bytes, request: Request) -> list[str]:
    """The topics that a metadata request names and allows to be made."""
    reader = Reader(frame, request.body)
    flexible = request.version >= _FLEXIBLE_FROM[METADATA]
    count = reader.varint() - 1 if flexible else reader.number("i")
    names = []
    for _ in range(max(0, count)):
        if request.version >= 10:
            reader.skip(16)
        names.append(reader.compact_text() if flexible else reader.text())
        if flexible:
            reader.tags()
    allowed = request.version < 4 or reader.number("b") != 0
    return [name for name in names if name] if allowed else []


def _new_topics(frame: bytes, request: Request) -> Iterator[tuple[str, int]]:
    """Name and partitions of each topic that a CreateTopics request asks for."""
    reader = Reader(frame, request.body)
    for _ in range(reader.number("i")):
        name = reader.text() or ""
        partitions = reader.number("i")
        reader.skip(2)
        assigned = reader.number("i")
        for _ in range(assigned):
            reader.skip(4)
            reader.skip(4 * reader.number("i"))
        for _ in range(reader.number("i")):
            reader.text()
            reader.text()
        yield name, assigned or partitions


def _with_create_topics(frame: bytes) -> bytes:
    """An ApiVersions response of the oldest form, which is the one that this broker gives, with one line more."""
    reader = Reader(frame, 4)
    if reader.number("h") != 0:
        return frame
    count = reader.number("i")
    line = struct.pack(">hhh", CREATE_TOPICS, *_CREATE_TOPICS_VERSIONS)
    return frame[:6] + struct.pack(">i", count + 1) + line + frame[10:]


def text(value: str) -> bytes:
    """A string as Kafka writes it."""
    encoded = value.encode()
    return struct.pack(">h", len(encoded)) + encoded
