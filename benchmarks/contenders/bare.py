"""The limit: what a person would write for speed with confluent-kafka alone."""

from __future__ import annotations

import uuid
from typing import Any

from confluent_kafka import Consumer

from benchmarks.contenders.model import CategoryChanged
from benchmarks.contenders.watch import Watch

BATCH = 500
TUNED = {"queued.min.messages": 20_000, "fetch.queue.backoff.ms": 20}
"""What streambind sets for its consumers."""


def validated(course: dict[str, Any]) -> dict[str, float]:
    return _consumed(course, TUNED)


def with_defaults(course: dict[str, Any]) -> dict[str, float]:
    return _consumed(course, {})


def consumer(course: dict[str, Any], settings: dict[str, Any]) -> Consumer:
    """A consumer of the course's topic, from its beginning, in a new group."""
    made = Consumer(
        {
            **settings,
            "bootstrap.servers": course["brokers"],
            "group.id": f"bench-{uuid.uuid4()}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": True,
            "enable.auto.offset.store": False,
        }
    )
    made.subscribe([course["topic"]])
    return made


def _consumed(course: dict[str, Any], settings: dict[str, Any]) -> dict[str, float]:
    client = consumer(course, settings)
    validate = CategoryChanged.model_validate_json
    watch = Watch(course)
    while not watch.done.is_set():
        messages = client.consume(BATCH, 0.2)
        for message in messages:
            validate(message.value() or b"")
        for last in {message.partition(): message for message in messages}.values():
            client.store_offsets(last)
        if messages:
            watch.saw(len(messages))
    client.close()
    return watch.figures()
