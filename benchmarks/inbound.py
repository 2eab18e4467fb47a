"""How much of the bare client's speed a listener keeps.

Reads the same topic, on the same broker, in turns: a hand-written loop of `consume` and `validate_json`, and a
listener that takes a validated event and does nothing. Ratios count; absolute figures depend on the machine.

    python benchmarks/inbound.py --brokers localhost:9092
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from streambind import EntityEvent, StreamApplication, stream_listener

BATCH = 500


class CategoryChanged(EntityEvent):
    category_id: int
    category_name: str


def fill(brokers: str, topic: str, count: int, partitions: int) -> None:
    admin = AdminClient({"bootstrap.servers": brokers})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result()
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 20, "queue.buffering.max.messages": 1_000_000})
    for i in range(count):
        payload = (
            f'{{"eventType":"LectureCategoryChanged","timestamp":"2022-08-08-12:12:37","jobType":"UPDATE",'
            f'"categoryId":{i},"categoryName":"최종테스트 {i} 실시간 데이터 처리와 카프카"}}'
        )
        producer.produce(topic, payload.encode(), str(i % 1000), headers=[("type", b"LectureCategoryChanged")])
        producer.poll(0)
    producer.flush()


TUNED = {"queued.min.messages": 20_000, "fetch.queue.backoff.ms": 20}
"""What streambind sets for its consumers: with the client's defaults a fast loop waits for most of the time."""


def bare(brokers: str, topic: str, count: int, *, settings: Mapping[str, int] | None = None) -> float:
    """The limit: what a person would write for speed, positions reported per batch."""
    consumer = Consumer(
        {
            **(settings or {}),
            "bootstrap.servers": brokers,
            "group.id": f"bench-{uuid.uuid4()}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
        }
    )
    consumer.subscribe([topic])
    validate = CategoryChanged.model_validate_json
    seen, began = 0, 0.0
    while seen < count:
        for message in consumer.consume(BATCH, 0.2):
            began = began or time.perf_counter()
            validate(message.value() or b"")
            seen += 1
            last = message
        if seen:
            consumer.store_offsets(last)
    took = time.perf_counter() - began
    consumer.close()
    return count / took


def listener(brokers: str, topic: str, count: int, *, kind: str) -> float:
    seen, began = 0, 0.0
    done = threading.Event()

    def took(number: int) -> None:
        nonlocal seen, began
        began = began or time.perf_counter()
        seen += number
        if seen >= count:
            done.set()

    @stream_listener("in-categoryChanged")
    def single(event: CategoryChanged) -> None:
        took(1)

    @stream_listener("in-categoryChanged")
    async def asynchronous(event: CategoryChanged) -> None:
        took(1)

    @stream_listener("in-categoryChanged")
    def batch(events: list[CategoryChanged]) -> None:
        took(len(events))

    chosen = {"single": single, "async": asynchronous, "batch": batch}[kind]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "application.yaml").write_text(
            f"""
            spring.cloud.stream:
              kafka.binder.brokers: {brokers}
              bindings:
                in-categoryChanged:
                  destination: {topic}
                  group: bench-{uuid.uuid4()}
            """
        )
        with StreamApplication(folder, include=[chosen], arguments=[]):
            done.wait()
            return count / (time.perf_counter() - began)


VARIANTS: dict[str, Callable[[str, str, int], float]] = {
    "bare loop": lambda *a: bare(*a, settings=TUNED),
    "bare loop, client's defaults": bare,
    "listener": lambda *a: listener(*a, kind="single"),
    "async listener": lambda *a: listener(*a, kind="async"),
    "batch listener": lambda *a: listener(*a, kind="batch"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--brokers", default="localhost:9092")
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    parser.add_argument("--topic", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        print(VARIANTS[options.variant](options.brokers, options.topic, options.messages))
        return
    topic = f"bench-inbound-{uuid.uuid4().hex[:8]}"
    fill(options.brokers, topic, options.messages, options.partitions)
    rates: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(options.runs):
        for name in VARIANTS:
            rates[name].append(_in_process(name, topic, options))
    _report(rates, options)


def _in_process(variant: str, topic: str, options: argparse.Namespace) -> float:
    """One variant in a process of its own, so that none warms up another."""
    command = [sys.executable, __file__, "--variant", variant, "--topic", topic]
    command += ["--brokers", options.brokers, "--messages", str(options.messages)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _report(rates: dict[str, list[float]], options: argparse.Namespace) -> None:
    print(f"{options.messages} messages, {options.partitions} partitions, {options.runs} runs in turns")
    print(f"{'':30} {'of the bare loop':>24} {'messages/s (median)':>22}")
    limit = rates["bare loop"]
    for name, measured in rates.items():
        ratios = [rate / bare for rate, bare in zip(measured, limit, strict=True)]
        spread = f"{min(ratios):.2f} - {max(ratios):.2f}"
        print(f"{name:30} {statistics.median(ratios):>8.2f} ({spread}) {statistics.median(measured):>22,.0f}")


if __name__ == "__main__":
    main()
