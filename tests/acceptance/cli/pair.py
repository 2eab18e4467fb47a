"""Two services, one that publishes its items and one that keeps a copy of them, for tests of commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic
from sqlalchemy import Engine, String, create_engine, delete, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from streambind import EntityEvent, JobType, StreamApplication, publishes, stream_listener
from streambind.testing.eventually import eventually
from tests.acceptance.cli.conftest import Inside

WITHIN_S = 60.0

CONFIGURATION = """\
spring.cloud.stream:
  kafka.binder:
    brokers: {brokers}
    consumerProperties: {{heartbeat.interval.ms: 300, topic.metadata.refresh.interval.ms: 500}}
  bindings:
    {binding}:
      destination: {topic}
streambind.datasource.url: {url}
"""


class SourceBase(DeclarativeBase):
    """The tables of the service that publishes."""


class CopyBase(DeclarativeBase):
    """The tables of the service that reads."""


class ItemChanged(EntityEvent):
    id: int
    name: str


@publishes("out-items", ItemChanged)
class Item(SourceBase):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))


class Copy(CopyBase):
    __tablename__ = "copy"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(100))


@stream_listener("in-items")
def keep(event: ItemChanged, session: Session) -> None:
    if event.job_type is JobType.DELETE:
        session.execute(delete(Copy).where(Copy.id == event.id))
    else:
        session.merge(Copy(id=event.id, name=event.name))


@dataclass
class Pair:
    """`source` and `reader` are folders with a configuration each, in the folder of the shell."""

    inside: Inside
    brokers: str
    topic: str
    source_url: str
    reader_url: str
    concurrency: int = 1

    def write(self) -> None:
        common = {"brokers": self.brokers, "topic": self.topic}
        source = CONFIGURATION.format(**common, binding="out-items", url=self.source_url)
        reader = CONFIGURATION.format(**common, binding="in-items", url=self.reader_url)
        more = f"group: {self.group}\n      consumer.concurrency: {self.concurrency}"
        reader = reader.replace(f"destination: {self.topic}", f"destination: {self.topic}\n      {more}")
        self.inside.write({"source/application.yaml": source, "reader/application.yaml": reader})
        for name in ("source", "reader"):
            result = self.inside.run("outbox", "create-tables", name)
            assert result.returncode == 0, result.stderr
        with self.engines() as (source_engine, reader_engine):
            SourceBase.metadata.create_all(source_engine)
            CopyBase.metadata.create_all(reader_engine)

    @property
    def group(self) -> str:
        return f"{self.topic}-group"

    @contextmanager
    def engines(self) -> Iterator[tuple[Engine, Engine]]:
        engines = create_engine(self.source_url), create_engine(self.reader_url)
        try:
            yield engines
        finally:
            for engine in engines:
                engine.dispose()

    def source(self) -> StreamApplication:
        return StreamApplication(self.inside.folder / "source", include=[Item], arguments=())

    def reader(self, listener: Callable[..., None] = keep) -> StreamApplication:
        return StreamApplication(self.inside.folder / "reader", include=[listener], arguments=())

    def save(self, **names: str) -> None:
        """Write items (`i7="name"`) while the source does not run, each in a transaction of its own."""
        source = self.source()
        for key, name in names.items():
            with source.sessions.begin() as session:
                session.merge(Item(id=int(key[1:]), name=name))
        source.engine.dispose()

    def send(self) -> None:
        """Let the source run until nothing waits."""
        source = self.source()
        with source:
            eventually(lambda: self.waiting() == 0, WITHIN_S, lambda: f"{self.waiting()} wait: {source.relay}")
        source.engine.dispose()

    def waiting(self) -> int:
        source = self.source()
        assert source.database is not None
        outbox = source.database.tables.outbox
        with source.engine.connect() as connection:
            found = len(connection.execute(select(outbox.c.id)).all())
        source.engine.dispose()
        return found

    def receive(self, **names: str) -> None:
        """Let the reader run until its copies are these."""
        reader = self.reader()
        with reader:
            self.copied(reader, **names)
        reader.engine.dispose()

    def copied(self, reader: StreamApplication, **names: str) -> None:
        """Wait until the copies are these."""
        wanted = {int(key[1:]): name for key, name in names.items()}
        eventually(
            lambda: self.copies() == wanted,
            WITHIN_S,
            lambda: f"{self.copies()} instead of {wanted}: {reader.status()}, {reader.figures('in-items')}",
        )

    def copies(self) -> dict[int, str]:
        return self._rows(self.reader_url, Copy)

    def items(self) -> dict[int, str]:
        return self._rows(self.source_url, Item)

    def _rows(self, url: str, kind: type[Item] | type[Copy]) -> dict[int, str]:
        engine = create_engine(url)
        with Session(engine) as session:
            found = {row.id: row.name for row in session.execute(select(kind.id, kind.name))}
        engine.dispose()
        return found

    def make_topic_anew(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.brokers})
        admin.delete_topics([self.topic])[self.topic].result(WITHIN_S)
        eventually(lambda: self.topic not in admin.list_topics(timeout=5).topics, WITHIN_S, "it does not go away")
        admin.create_topics([NewTopic(self.topic, 1, 1)])[self.topic].result(WITHIN_S)
        eventually(lambda: self.topic in admin.list_topics(timeout=5).topics, WITHIN_S, "it does not appear")

    def grow_topic(self, partitions: int) -> None:
        admin = AdminClient({"bootstrap.servers": self.brokers})
        admin.create_partitions([NewPartitions(self.topic, partitions)])[self.topic].result(WITHIN_S)

    def delete_records(self, before: int) -> None:
        admin = AdminClient({"bootstrap.servers": self.brokers})
        for deleted in admin.delete_records([TopicPartition(self.topic, 0, before)]).values():
            deleted.result(WITHIN_S)
