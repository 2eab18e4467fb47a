"""Quix Streams. Its guarantee is at least once, its offsets are committed every five seconds: its defaults."""

from __future__ import annotations

import uuid
from typing import Any

from quixstreams import Application

from benchmarks.contenders.bare import TUNED
from benchmarks.contenders.model import CategoryChanged
from benchmarks.contenders.watch import Watch


def validated(course: dict[str, Any]) -> dict[str, float]:
    """Bytes to a model by pydantic: quicker than its own JSON and a model made of that."""
    watch = Watch(course)
    application = Application(
        broker_address=course["brokers"],
        consumer_group=f"bench-{uuid.uuid4()}",
        auto_offset_reset="earliest",
        consumer_extra_config=TUNED,
        loglevel=None,
    )

    def keep(event: CategoryChanged) -> None:
        watch.saw(1)
        if watch.done.is_set():
            application.stop()

    topic = application.topic(course["topic"], value_deserializer="bytes")
    frame = application.dataframe(topic)
    frame = frame.apply(CategoryChanged.model_validate_json)
    frame.update(keep)
    application.run()
    return watch.figures()
