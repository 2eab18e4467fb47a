"""A service that keeps a read model, without a broker: batches are delivered by the test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel
from sqlalchemy import (
    Connection,
    ForeignKey,
    String,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from streambind.binding.binder import Lane
from streambind.binding.outcome import Continue, Outcome, RetryAfter
from streambind.configuration.properties import BindingProperties, ConsumerProperties, DeadLetterFormat
from streambind.errors import SendError
from streambind.inbound.input import InputPlan
from streambind.inbound.listener import ListenerMark, listeners_of, stream_listener
from streambind.inbound.replicates import ReplicaMark, replicas_of
from streambind.inbound.replies import Reply
from streambind.inbound.surroundings import Surroundings
from streambind.message import Message
from streambind.persistence.database import Database
from tests.integration import foreign_keys as _foreign_keys  # noqa: F401 - how MySQL writes them
from tests.unit.inbound.batches import ListBatch

GROUP = "readers"
DESTINATION = "things"


class Base(DeclarativeBase):
    """The service's own tables."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {str: String(600)}


class Effect(Base):
    """What handlers did, in order. No constraint would hide a second time."""

    __tablename__ = "effect"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str]
    number: Mapped[int]


class Thing(Base):
    """A read model with a constraint to violate."""

    __tablename__ = "thing"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("thing.id", deferrable=True, initially="DEFERRED"))


class Event(BaseModel):
    """The payload of these tests: the `number`-th event of `key`."""

    key: str
    number: int


Handler = Callable[[Event, Session], None]


def keep(event: Event, session: Session) -> None:
    """The ordinary handler."""
    session.add(Effect(key=event.key, number=event.number))


def event(key: str, number: int) -> dict[str, object]:
    return {"key": key, "number": number}


@dataclass
class Letters:
    """A dead-letter destination; the next `failures` sends fail. What is written in a transaction stays here
    when that is rolled back: the outbox itself has other tests."""

    sent: list[Message] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    format: DeadLetterFormat = DeadLetterFormat.SPRING_CLOUD_STREAM
    group: str = GROUP

    def send(self, letter: Message) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append(letter)

    def write(self, connection: Connection, letter: Message) -> None:
        assert connection.in_transaction()
        self.send(letter)


@dataclass
class Outbox:
    """Takes replies: those with a session go to the table `effect`, so that they share its transaction."""

    sent: list[Reply] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    def publish(self, session: Session, reply: Reply) -> None:
        if self.failures:
            raise self.failures.pop(0)
        session.add(Effect(key=f"reply to {reply.binding}", number=int(str(reply.payload))))

    def send(self, replies: Sequence[Reply]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.sent += replies


@dataclass
class Service:
    database: Database
    commits: int = 0

    def listener(self, handler: Handler) -> Callable[..., Any]:
        """The handler in the colour of the engine."""
        if not self.database.is_async:
            return handler

        async def handle(event: Event, session: AsyncSession) -> None:
            await session.run_sync(lambda inner: handler(event, inner))

        return handle

    def listener_of_many(self, handler: Handler) -> Callable[..., Any]:
        """The same, for a listener that takes a list."""

        def handle(events: list[Event], session: Session) -> None:
            for each in events:
                handler(each, session)

        async def handle_too(events: list[Event], session: AsyncSession) -> None:
            await session.run_sync(lambda inner: handle(events, inner))

        return handle_too if self.database.is_async else handle

    def plan(
        self,
        *listeners: Callable[..., Any],
        letters: Letters | None = None,
        replies: Outbox | None = None,
        adopt: tuple[int, str] | None = (0, "earliest"),
        published: bool = False,
        **consumer: Any,
    ) -> InputPlan:
        """The input binding of replicas and of marked or plain listeners, with positions for two partitions. It
        stops at what fails, unless it is told otherwise or there are `letters`, and cuts no batch that takes long.
        `published`: the replicas' classes are published in turn, though nobody captures their changes."""
        consumer.setdefault("back_off_initial_interval_ms", 1000)
        consumer.setdefault("commit_after_ms", 3_600_000)
        consumer.setdefault("on_error", "stop" if letters is None else "dlq")
        properties = BindingProperties(
            destination=DESTINATION, group=GROUP, consumer=ConsumerProperties(**consumer)
        )
        marks: list[ListenerMark] = []
        replicas: list[ReplicaMark] = []
        for listener in listeners:
            if isinstance(listener, type):
                replicas += [mark for mark in replicas_of(listener) if mark.binding == "in-things"]
            else:
                marks += listeners_of(listener) or [ListenerMark(listener, "in-things")]
        surroundings = Surroundings(
            loop=self.database.loop,
            database=self.database,
            dead_letters=letters,
            replies=replies,
            on_commit=self._committed,
            publishes=lambda _: published,
        )
        plan = InputPlan.build(
            "in-things", properties, listeners=marks, replicas=replicas, surroundings=surroundings
        )
        if adopt is not None and plan.positions is not None:
            plan.positions.adopt({Lane(DESTINATION, partition): adopt for partition in (0, 1)}, {})
        return plan

    def keeping(self, handler: Handler = keep, *, many: bool = False, **settings: Any) -> InputPlan:
        listener = self.listener_of_many(handler) if many else self.listener(handler)
        return self.plan(listener, **settings)

    def effects(self) -> list[tuple[str, int]]:
        def work(connection: Connection) -> list[tuple[str, int]]:
            rows = connection.execute(select(Effect.key, Effect.number).order_by(Effect.id))
            return [(row.key, row.number) for row in rows]

        return self.database.run(work)

    def things(self) -> dict[int, str]:
        def work(connection: Connection) -> dict[int, str]:
            return {row.id: row.name for row in connection.execute(select(Thing.id, Thing.name))}

        return self.database.run(work)

    def position(self, partition: int = 0) -> int | None:
        table = self.database.tables.position
        return self.database.run(
            lambda c: c.execute(select(table.c.next_offset).where(table.c.partition == partition)).scalar()
        )

    def move_position(self, offset: int, partition: int = 0) -> None:
        table = self.database.tables.position
        self.database.run(
            lambda c: c.execute(
                update(table).where(table.c.partition == partition).values(next_offset=offset, claimed_to=None)
            )
        )

    def forget_positions(self) -> None:
        self.database.run(lambda c: c.execute(delete(self.database.tables.position)))

    def guarded(self) -> dict[bytes, tuple[int, int]]:
        """Epoch and number of the last event of each key."""
        table = self.database.tables.guard

        def work(connection: Connection) -> dict[bytes, tuple[int, int]]:
            return {row.key: (row.epoch, row.seq) for row in connection.execute(select(table))}

        return self.database.run(work)

    def count(self, table: Any) -> int:
        return self.database.run(lambda c: c.scalar(select(func.count()).select_from(table)) or 0)

    def insert(self, table: Any, **values: Any) -> None:
        self.database.run(lambda c: c.execute(insert(table).values(**values)))

    def _committed(self) -> None:
        self.commits += 1


def listens(handler: Callable[..., Any], **settings: Any) -> Callable[..., Any]:
    return stream_listener("in-things", **settings)(handler)


def drain(plan: InputPlan, batch: ListBatch, *, deliveries: int = 50) -> list[Outcome]:
    """Deliver a batch as a binder would, ignoring delays, until it is done or something else than going on and
    trying again comes out; returns all outcomes."""
    outcomes: list[Outcome] = []
    rest: ListBatch | None = batch
    while rest is not None:
        outcome = plan.deliver(rest)
        outcomes.append(outcome)
        assert len(outcomes) < deliveries, outcomes[-5:]
        if not isinstance(outcome.then, Continue | RetryAfter):
            break
        rest = rest.after(outcome.done)
    return outcomes


def refused(permanent: bool = False) -> SendError:
    return SendError("no broker", permanent=permanent)
