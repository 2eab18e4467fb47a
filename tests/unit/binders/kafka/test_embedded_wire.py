"""The few requests that the embedded broker's door understands."""

from __future__ import annotations

import struct

import pytest

from streambind.binders.kafka.embedded_wire import (
    API_VERSIONS,
    CREATE_TOPICS,
    FETCH,
    MAX_FETCH_WAIT_MS,
    METADATA,
    Conversation,
    Request,
)


class Topics:
    """What was asked to be made."""

    def __init__(self, *existing: str) -> None:
        self.made: list[tuple[str, int | None]] = []
        self._existing = set(existing)

    def make(self, name: str, partitions: int | None) -> bool:
        if name in self._existing:
            return False
        self.made.append((name, partitions))
        return True


def text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def compact(value: str) -> bytes:
    return bytes([len(value) + 1]) + value.encode()


def header(
    api: int, version: int, correlation: int = 7, *, client: bytes = b"\x00\x02me", tags: bytes = b""
) -> bytes:
    return struct.pack(">hhi", api, version, correlation) + client + tags


def test_a_request_is_known_by_its_header() -> None:
    assert Request.of(header(FETCH, 4) + b"body") == Request(FETCH, 4, 7, 12)
    assert Request.of(header(FETCH, 4, client=b"\xff\xff")) == Request(FETCH, 4, 7, 10)
    assert Request.of(header(FETCH, 12, tags=b"\x01\x05\x02ab")).body == 17


@pytest.mark.parametrize(("version", "tags", "before"), [(4, b"", b"\xff\xff\xff\xff"), (15, b"\0", b"")])
def test_a_fetch_waits_only_briefly(version: int, tags: bytes, before: bytes) -> None:
    start = header(FETCH, version, tags=tags) + before
    onward, answer = Conversation(Topics().make).request(start + struct.pack(">i", 500) + b"rest")
    assert onward == start + struct.pack(">i", MAX_FETCH_WAIT_MS) + b"rest"
    assert answer is None
    short = start + struct.pack(">i", 1) + b"rest"
    assert Conversation(Topics().make).request(short) == (short, None)


@pytest.mark.parametrize(
    ("frame", "made"),
    [
        (header(METADATA, 3) + struct.pack(">i", 2) + text("a") + text("b"), ["a", "b"]),
        (header(METADATA, 4) + struct.pack(">i", 1) + text("a") + b"\x01", ["a"]),
        (header(METADATA, 4) + struct.pack(">i", 1) + text("a") + b"\x00", []),
        (header(METADATA, 4) + struct.pack(">i", -1) + b"\x01", []),
        (header(METADATA, 9, tags=b"\0") + b"\x02" + compact("a") + b"\0" + b"\x01", ["a"]),
        (header(METADATA, 12, tags=b"\0") + b"\x02" + b"\0" * 16 + compact("a") + b"\0" + b"\x01", ["a"]),
        (header(METADATA, 12, tags=b"\0") + b"\x02" + b"\1" * 16 + b"\0" + b"\0" + b"\x01", []),
    ],
)
def test_a_topic_that_is_asked_for_is_made(frame: bytes, made: list[str]) -> None:
    topics = Topics()
    assert Conversation(topics.make).request(frame) == (frame, None)
    assert topics.made == [(name, None) for name in made]


def new_topic(name: str, partitions: int, assigned: int = 0) -> bytes:
    assignments = b"".join(struct.pack(">iii", p, 1, 1) for p in range(assigned))
    configs = struct.pack(">i", 1) + text("retention.ms") + text("1000")
    return text(name) + struct.pack(">ihi", partitions, 1, assigned) + assignments + configs


def test_topics_are_made_on_request_and_it_is_answered_at_once() -> None:
    topics = Topics("old")
    body = struct.pack(">i", 5) + b"".join(
        [new_topic("a", 3), new_topic("b", -1), new_topic("old", 1), new_topic("none", 0), new_topic("c", -1, 2)]
    )
    onward, answer = Conversation(topics.make).request(
        header(CREATE_TOPICS, 4) + body + struct.pack(">ib", 1000, 0)
    )
    assert onward is None
    assert topics.made == [("a", 3), ("b", None), ("c", 2)]
    results = [("a", 0), ("b", 0), ("old", 36), ("none", 37), ("c", 0)]
    assert answer == struct.pack(">iii", 7, 0, 5) + b"".join(
        text(name) + struct.pack(">h", error) + b"\xff\xff" for name, error in results
    )


def test_the_broker_is_said_to_make_topics() -> None:
    conversation = Conversation(Topics().make)
    asked = header(API_VERSIONS, 0)
    assert conversation.request(asked) == (asked, None)
    answer = struct.pack(">ihi", 7, 0, 1) + struct.pack(">hhh", METADATA, 0, 9)
    assert conversation.response(answer) == (
        struct.pack(">ihi", 7, 0, 2)
        + struct.pack(">hhh", CREATE_TOPICS, 0, 4)
        + struct.pack(">hhh", METADATA, 0, 9)
    )
    assert conversation.response(answer) == answer, "another response of the same number"


def test_a_refused_question_for_versions_passes_as_it_is() -> None:
    conversation = Conversation(Topics().make)
    conversation.request(header(API_VERSIONS, 3))
    refused = struct.pack(">ihi", 7, 35, 0)
    assert conversation.response(refused) == refused
