"""A service of three groups that leaves parked messages and dead letters, for `streambind dlq`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from streambind import EntityEvent, PermanentError, StreamApplication, stream_listener
from streambind.persistence.tables import Tables
from streambind.testing.eventually import eventually
from tests.acceptance.cli.conftest import Inside

CONFIGURATION = """
spring.cloud.stream:
  {binder}.binder: {{{options}}}
  {binder}.bindings.in-letters.consumer: {{enableDlq: true, dlqFormat: {form}}}
  defaultBinder: {binder}
  bindings:
    out-a: {{destination: {topic}, producer: {{publish: direct, partitionCount: 2}}}}
    in-letters: {{destination: {topic}, group: letters, consumer: {{maxAttempts: 1}}}}
    in-parked:
      destination: {topic}
      group: parked
      consumer:
        maxAttempts: 1
        on-error: park
        parking: {{max-attempts: 1, back-off-initial-interval: 10ms, poll-interval: 100ms}}
    in-other: {{destination: {topic}, group: other}}
streambind.datasource.url: {url}
"""


class Base(DeclarativeBase):
    pass


class Effect(Base):
    """What handlers did, in order."""

    __tablename__ = "effect"

    id: Mapped[int] = mapped_column(primary_key=True)
    group: Mapped[str]
    key: Mapped[str]
    number: Mapped[int]


class Changed(EntityEvent):
    key: str
    number: int


@dataclass
class Handlers:
    """Three groups on one destination; `poison` says what two of them fail at."""

    poison: Callable[[Changed], bool] = field(default=lambda event: False)

    @stream_listener("in-letters")
    def letters(self, event: Changed, session: Session) -> None:
        self._handle("letters", event, session)

    @stream_listener("in-parked")
    def parked(self, event: Changed, session: Session) -> None:
        self._handle("parked", event, session)

    @stream_listener("in-other")
    def other(self, event: Changed, session: Session) -> None:
        session.add(Effect(group="other", key=event.key, number=event.number))

    def _handle(self, group: str, event: Changed, session: Session) -> None:
        session.add(Effect(group=group, key=event.key, number=event.number))
        session.flush()
        if self.poison(event):
            raise PermanentError(f"cannot take number {event.number}\x1b[2J")


@dataclass
class Service:
    """The service, its configuration in the shell's folder; commands know it by that alone."""

    shell: Inside
    url: str
    topic: str

    def __post_init__(self) -> None:
        self.handlers = Handlers()
        self.engine = create_engine(self.url)
        Base.metadata.create_all(self.engine)

    @contextmanager
    def running(self) -> Iterator[StreamApplication]:
        path = self.shell.folder / "application.yaml"
        application = StreamApplication(path, include=[self.handlers], arguments=[])
        with application:
            yield application
        application.engine.dispose()

    def send(self, application: StreamApplication, *events: tuple[str, int]) -> None:
        for key, number in events:
            payload = {"jobType": "UPDATE", "key": key, "number": number}
            application.bridge.send("out-a", payload, key=key).result()

    def effects(self, group: str) -> list[tuple[str, int]]:
        with Session(self.engine) as session:
            rows = session.scalars(select(Effect).where(Effect.group == group).order_by(Effect.id))
            return [(row.key, row.number) for row in rows]

    def fail(self, poison: Callable[[Changed], bool], *events: tuple[str, int]) -> None:
        """Run once over the events, until all groups are through and all letters are out."""
        self.handlers.poison = poison
        with self.running() as application:
            before = len(self.effects("other"))
            self.send(application, *events)
            dead = [event for event in events if poison(_event(*event))]
            eventually(lambda: len(self.effects("other")) == before + len(events), 30, "other groups lag")
            eventually(lambda: self.count("open") >= len(dead), 30, lambda: f"letters: {self.ls()}")
            keys = {key for key, _ in dead}  # Their first events are those that fail.
            parked = [event for event in events if event[0] in keys]
            eventually(lambda: self.count("dead") >= len(parked), 30, lambda: f"parked: {self.ls()}")
        self.handlers.poison = lambda event: False

    def dlq(self, command: str, *arguments: str, code: int = 0) -> str:
        result = self.shell.run("dlq", command, ".", *arguments)
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout

    def ls(self, *arguments: str) -> Any:
        return json.loads(self.dlq("ls", "--each", "--json", *arguments))

    def count(self, state: str) -> int:
        return len(self.ls("--state", state))

    def ids(self, *arguments: str) -> list[str]:
        return [item["id"] for item in self.ls(*arguments)]

    def rows(self, table: str) -> Sequence[Any]:
        with self.engine.connect() as connection:
            return connection.execute(select(getattr(Tables(), table))).all()


def said(*, dry_run: bool = False, **numbers: int) -> dict[str, object]:
    """What a command tells machines of what it has done: every number, and that nothing was refused."""
    names = ("keys", "replayed", "skipped", "edited", "known", "foreign", "superseded", "looping", "full")
    return {"dry_run": dry_run, **dict.fromkeys(names, 0), **numbers, "refused": []}


def _event(key: str, number: int) -> Changed:
    return Changed.model_validate({"jobType": "UPDATE", "key": key, "number": number})
