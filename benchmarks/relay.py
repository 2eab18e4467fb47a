"""What the relay's choices cost: fences, and being woken by another process.

In turns, on one broker and one PostgreSQL: how fast a backlog is sent, and how long a single commit takes until
the broker has confirmed it, with `outbox.fencing` none and transactional; and the same from an application that
only writes, with `outbox.notify` on and off. Ratios count; absolute figures depend on the machine.

    python benchmarks/relay.py --brokers localhost:9092 --database postgresql+psycopg://user@host/empty
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from streambind import StreamApplication, publish
from streambind.outbound.outbox_status import outbox_status
from streambind.persistence.schema import create_tables

CONFIGURATION = """
spring.cloud.stream:
  kafka.binder.brokers: {brokers}
  bindings.out-a: {{destination: {topic}, producer: {{partitionCount: 4}}}}
streambind.datasource.url: {database}
"""
PAUSE_S = 0.02


class Bench:
    """Applications on one database; each with a topic of its own."""

    def __init__(self, brokers: str, database: str, folder: Path) -> None:
        self._brokers = brokers
        self._database = database
        self._folder = folder
        first = self.application()
        assert first.database is not None
        create_tables(first.database)

    def application(self, topic: str | None = None, **outbox: str) -> StreamApplication:
        topic = topic or f"bench-{uuid.uuid4().hex[:8]}"
        path = self._folder / "application.yaml"
        path.write_text(CONFIGURATION.format(brokers=self._brokers, topic=topic, database=self._database))
        overrides = {f"streambind.outbox.{name}": value for name, value in outbox.items()}
        return StreamApplication(path, arguments=[], overrides=overrides)

    def throughput(self, rows: int, fencing: str) -> float:
        """Messages per second of a backlog in transactions of one message."""
        application = self.application(fencing=fencing)
        commit(application, rows, size=500)
        with application:
            wait(lambda: sent(application) > 0)
            began, already = time.monotonic(), sent(application)
            wait(lambda: sent(application) >= rows)
            return (rows - already) / (time.monotonic() - began)

    def latency(self, commits: int, **outbox: str) -> list[float]:
        """Milliseconds from the commit to the confirmation, of single commits with pauses."""
        with self.application(**outbox) as application:
            return latencies(application, application, commits)

    def latency_from_elsewhere(self, commits: int, notify: str) -> list[float]:
        """The same from an application that only writes."""
        topic = f"bench-{uuid.uuid4().hex[:8]}"
        relay, writer = (
            self.application(topic, notify=notify),
            self.application(topic, notify=notify, relay="false"),
        )
        with relaying(relay), writer:
            return latencies(writer, relay, commits)


@contextmanager
def relaying(application: StreamApplication) -> Iterator[None]:
    application.start(relay_only=True)
    try:
        yield
    finally:
        application.stop()


def latencies(writer: StreamApplication, relay: StreamApplication, commits: int) -> list[float]:
    wait(lambda: relay.relay is not None and len(relay.relay.shards) == 16)
    warm = 64
    commit(writer, warm, size=1)
    wait(lambda: sent(relay) >= warm)
    found: list[float] = []
    for number in range(commits):
        began = time.monotonic()
        commit(writer, 1, size=1)
        wait(lambda number=number: sent(relay) > warm + number)  # type: ignore[misc]
        found.append((time.monotonic() - began) * 1000)
        time.sleep(PAUSE_S)
    return found


def commit(application: StreamApplication, rows: int, *, size: int) -> None:
    for start in range(0, rows, size):
        with application.sessions.begin() as session:
            for number in range(start, min(rows, start + size)):
                publish(session, "out-a", {"number": number, "text": "x" * 150}, key=str(number % 1000))


def sent(application: StreamApplication) -> int:
    return 0 if application.relay is None else application.relay.sent


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("nothing moves")
        time.sleep(0.0002)


def shown(found: list[float]) -> str:
    ordered = sorted(found)
    return f"p50 {statistics.median(ordered):7.2f} ms   p99 {ordered[int(len(ordered) * 0.99) - 1]:7.2f} ms"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--commits", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options.brokers, options.database, Path(folder))
        ratios = []
        for _ in range(options.rounds):
            none, fenced = (bench.throughput(options.rows, fencing) for fencing in ("none", "transactional"))
            ratios.append(fenced / none)
            print(f"backlog: none {none:8.0f}/s   transactional {fenced:8.0f}/s   ratio {fenced / none:.2f}")
        print(f"backlog: median ratio {statistics.median(ratios):.2f}")
        for fencing in ("none", "transactional"):
            print(
                f"commit to confirmation, {fencing:13}: {shown(bench.latency(options.commits, fencing=fencing))}"
            )
        for notify in ("true", "false"):
            found = bench.latency_from_elsewhere(options.commits, notify)
            print(f"from another process, notify {notify:5}: {shown(found)}")
        last = bench.application()
        assert last.database is not None
        assert outbox_status(last.database).backlog == 0


if __name__ == "__main__":
    main()
