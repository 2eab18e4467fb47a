"""FastStream, on confluent-kafka and on aiokafka, without its log of every message.

By default it acknowledges before the handler runs, by the client's auto commit; at least once is
`AckPolicy.NACK_ON_ERROR`, with which it commits after every message.
"""

from __future__ import annotations

import asyncio
import importlib
import uuid
from collections.abc import Callable
from typing import Any

import uvloop
from faststream import AckPolicy, FastStream

from benchmarks.contenders.model import CategoryChanged
from benchmarks.contenders.watch import Watch


def by_default(course: dict[str, Any]) -> dict[str, float]:
    return _listened(course, {})


def at_least_once(course: dict[str, Any]) -> dict[str, float]:
    return _listened(course, AT_LEAST_ONCE)


AT_LEAST_ONCE = {"ack_policy": AckPolicy.NACK_ON_ERROR}


def _listened(course: dict[str, Any], policy: dict[str, Any]) -> dict[str, float]:
    watch = Watch(course)
    broker, app, saw = service(course, watch)

    @broker.subscriber(course["topic"], **subscription(), **policy)
    async def keep(event: CategoryChanged) -> None:
        saw()

    return run(app, watch)


def service(course: dict[str, Any], watch: Watch) -> tuple[Any, FastStream, Callable[[], None]]:
    """Its broker and application, and what handlers call for each message."""
    broker = importlib.import_module(f"faststream.{course['client']}").KafkaBroker(course["brokers"], logger=None)
    app = FastStream(broker, logger=None)

    def saw() -> None:
        watch.saw(1)
        if watch.done.is_set():
            app.exit()

    return broker, app, saw


def subscription() -> dict[str, str]:
    return {"group_id": f"bench-{uuid.uuid4()}", "auto_offset_reset": "earliest"}


def run(app: FastStream, watch: Watch) -> dict[str, float]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(app.run())
    return watch.figures()
