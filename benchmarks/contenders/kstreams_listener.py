"""kstreams, on aiokafka: offsets by the client's auto commit, as it does by itself, or after every message."""

# No postponed annotations: it looks at them as they are.
import asyncio
import uuid
from collections.abc import Coroutine
from typing import Any

import uvloop
from kstreams import ConsumerRecord, Stream, create_engine
from kstreams.backends import Kafka

from benchmarks.contenders.model import CategoryChanged
from benchmarks.contenders.watch import Watch


def by_default(course: dict[str, Any]) -> dict[str, float]:
    return _run(_listened(course, commits=False))


def at_least_once(course: dict[str, Any]) -> dict[str, float]:
    return _run(_listened(course, commits=True))


def _run(listened: Coroutine[Any, Any, dict[str, float]]) -> dict[str, float]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(listened)


async def _listened(course: dict[str, Any], *, commits: bool) -> dict[str, float]:
    watch = Watch(course)
    done = asyncio.Event()
    engine = create_engine(title="bench", backend=Kafka(bootstrap_servers=[course["brokers"]]))

    def keep(event: CategoryChanged) -> None:
        watch.saw(1)
        if watch.done.is_set():
            done.set()

    async def take(record: ConsumerRecord) -> None:
        keep(CategoryChanged.model_validate_json(record.value))

    async def take_and_commit(record: ConsumerRecord, stream: Stream) -> None:
        keep(CategoryChanged.model_validate_json(record.value))
        await stream.commit()

    settings = {"group_id": f"bench-{uuid.uuid4()}", "auto_offset_reset": "earliest"}
    marked = engine.stream(course["topic"], **settings, enable_auto_commit=not commits)
    marked(take_and_commit if commits else take)
    await engine.start()
    await done.wait()
    await engine.stop()
    return watch.figures()
