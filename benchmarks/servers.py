"""The servers that all contenders share: one broker, one PostgreSQL, and files for SQLite."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from sqlalchemy import make_url

from tests.services.kafka import KafkaBroker, kafka_version
from tests.services.postgres import FreshDatabases, PostgresServer

POSTGRES = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "256MB", "max_wal_size": "4GB"}
"""Commits wait for the disk, as they do where data matters."""


class Servers:
    """`brokers` is a bootstrap address. Servers that are not given are started, and end with this process."""

    def __init__(self, brokers: str | None, postgres: str | None) -> None:
        self._brokers = brokers
        self._is_ours = brokers is None
        self._postgres = postgres

    @property
    def brokers(self) -> str:
        """A real broker's address; it is started when first asked for."""
        if self._brokers is None:
            self._brokers = KafkaBroker().start()
        return self._brokers

    def versions(self, kind: str | None) -> dict[str, str]:
        """By name, those of a contest's servers; `kind` as with `database`. Which version a broker has that was
        given nobody tells."""
        found = {"Kafka": kafka_version()} if self._brokers is not None and self._is_ours else {}
        if kind == "sqlite":
            found["SQLite"] = sqlite3.sqlite_version
        elif self._postgres is not None and kind is not None:
            url = make_url(self._postgres).set(drivername="postgresql").render_as_string(hide_password=False)
            with psycopg.connect(url) as connection:
                found["PostgreSQL"] = connection.info.parameter_status("server_version") or "unknown"
        return found

    @contextmanager
    def database(self, kind: str) -> Iterator[str]:
        """The URL of an empty database, which is gone afterwards. PostgreSQL waits for its disk at a commit."""
        if kind == "sqlite":
            with tempfile.TemporaryDirectory() as folder:
                yield f"sqlite:///{Path(folder, 'bench.db')}"
            return
        if self._postgres is None:
            self._postgres = PostgresServer(settings=POSTGRES).start()
        fresh = FreshDatabases(self._postgres)
        url = fresh.new_database()
        try:
            yield url
        finally:
            fresh.drop_database(url)

    def topic(self, name: str, partitions: int) -> None:
        """Make a topic, new and empty."""
        admin = AdminClient({"bootstrap.servers": self.brokers})
        admin.create_topics([NewTopic(name, partitions, 1)])[name].result()

    def fill(self, topic: str, partitions: int, records: Iterator[tuple[bytes, bytes, dict[str, bytes]]]) -> None:
        """Make a topic with these records: key, payload, headers."""
        self.topic(topic, partitions)
        producer = Producer(
            {
                "bootstrap.servers": self.brokers,
                "enable.idempotence": True,  # Else a retry may put numbered messages out of order.
                "linger.ms": 20,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        for key, payload, headers in records:
            while True:
                try:
                    producer.produce(topic, payload, key, headers=list(headers.items()))
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        producer.flush()
