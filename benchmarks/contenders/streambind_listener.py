"""Our listeners that do nothing, in a program as users run it."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import uuid
from pathlib import Path
from typing import Any

from benchmarks.contenders.watch import Watch
from streambind import EntityEvent, StreamApplication, stream_listener

BINDING = "in-categoryChanged"


class CategoryChanged(EntityEvent):
    category_id: int
    category_name: str


@stream_listener(BINDING)
def keep(event: CategoryChanged) -> None: ...


@stream_listener(BINDING)
async def keep_asynchronously(event: CategoryChanged) -> None: ...


@stream_listener(BINDING)
def keep_many(events: list[CategoryChanged]) -> None: ...


def single(course: dict[str, Any]) -> dict[str, float]:
    return listened(course, keep)


def asynchronous(course: dict[str, Any]) -> dict[str, float]:
    return listened(course, keep_asynchronously)


def batch(course: dict[str, Any]) -> dict[str, float]:
    return listened(course, keep_many)


def listened(course: dict[str, Any], listener: object) -> dict[str, float]:
    """Run until the course's messages are handled, by what the application says of itself."""
    stream = application(course, [listener])
    watch = Watch(course)

    def handled() -> int:
        figures = stream.figures(BINDING)
        return 0 if figures is None else figures.handled

    def until_done() -> None:
        watch.follow(handled)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=until_done, daemon=True).start()
    stream.run()
    return watch.figures()


def application(course: dict[str, Any], include: list[object]) -> StreamApplication:
    """An application that listens to the course's topic in a new group, on the course's database if it has one."""
    text = f"""
        spring.cloud.stream:
          kafka.binder.brokers: {course["brokers"]}
          bindings:
            {BINDING}:
              destination: {course["topic"]}
              group: {course.get("group") or f"bench-{uuid.uuid4()}"}
    """
    if course.get("database"):
        text += f"    streambind.datasource.url: {course['database']}\n"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "application.yaml").write_text(text)
        return StreamApplication(folder, include=include, arguments=[])
