"""Our listeners that do nothing."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path
from typing import Any

from benchmarks.contenders.watch import Watch
from streambind import EntityEvent, StreamApplication, stream_listener


class CategoryChanged(EntityEvent):
    category_id: int
    category_name: str


def single(course: dict[str, Any]) -> dict[str, float]:
    watch = Watch(course["messages"])

    @stream_listener("in-categoryChanged")
    def keep(event: CategoryChanged) -> None:
        watch.saw(1)

    return _listened(course, keep, watch)


def asynchronous(course: dict[str, Any]) -> dict[str, float]:
    watch = Watch(course["messages"])

    @stream_listener("in-categoryChanged")
    async def keep(event: CategoryChanged) -> None:
        watch.saw(1)

    return _listened(course, keep, watch)


def batch(course: dict[str, Any]) -> dict[str, float]:
    watch = Watch(course["messages"])

    @stream_listener("in-categoryChanged")
    def keep(events: list[CategoryChanged]) -> None:
        watch.saw(len(events))

    return _listened(course, keep, watch)


def _listened(course: dict[str, Any], listener: object, watch: Watch) -> dict[str, float]:
    with application(course, [listener]):
        watch.done.wait()
        return {"rate": watch.rate()}


def application(course: dict[str, Any], include: list[object]) -> StreamApplication:
    """An application that listens to the course's topic in a new group, on the course's database if it has one."""
    text = f"""
        spring.cloud.stream:
          kafka.binder.brokers: {course["brokers"]}
          bindings:
            in-categoryChanged:
              destination: {course["topic"]}
              group: bench-{uuid.uuid4()}
    """
    if course.get("database"):
        text += f"    streambind.datasource.url: {course['database']}\n"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "application.yaml").write_text(text)
        return StreamApplication(folder, include=include, arguments=[])
