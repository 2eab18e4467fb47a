"""The messages of the contests: category changes as the sample publishes them."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator

from benchmarks.contest import Course
from benchmarks.servers import Servers
from streambind.message import EVENT_ID, ORIGIN

KEYS = 1_000

Record = tuple[bytes, bytes, dict[str, bytes]]
"""Key, payload, headers."""


def full_topic(servers: Servers, course: Course) -> Course:
    """A topic of `messages` (times the scale) category changes in `partitions`, padded to `payload_bytes`;
    `numbered` by key, as those that come from an outbox are."""
    topic = f"bench-{uuid.uuid4().hex[:10]}"
    count = max(1_000, int(course.get("messages", 200_000) * course["scale"]))
    partitions = course.get("partitions", 4)
    records = _records(count, course.get("payload_bytes", 0))
    servers.fill(topic, partitions, _numbered(records, topic) if course.get("numbered") else records)
    return {**course, "topic": topic, "messages": count, "partitions": partitions}


def _records(count: int, payload_bytes: int) -> Iterator[Record]:
    headers = {"type": b"LectureCategoryChanged", "contentType": b"application/json"}
    for number in range(count):
        name = f"최종테스트 {number} 실시간 데이터 처리와 카프카"
        payload = (
            f'{{"eventType":"LectureCategoryChanged","timestamp":"2022-08-08-12:12:37","jobType":"UPDATE",'
            f'"categoryId":{number % KEYS},"categoryName":"{name}"}}'
        ).encode()
        if (missing := payload_bytes - len(payload)) > 0:
            payload = payload[:-2] + b"x" * missing + b'"}'
        yield str(number % KEYS).encode(), payload, headers


def _numbered(records: Iterator[Record], topic: str) -> Iterator[Record]:
    last: Counter[bytes] = Counter()
    source = uuid.uuid4()
    for key, payload, headers in records:
        last[key] += 1
        origin = f"1/{source}/1/{topic}/{last[key]}".encode()
        yield key, payload, {**headers, ORIGIN: origin, EVENT_ID: str(uuid.uuid4()).encode()}
