"""A topic in memory, and a group whose replica follows it: for tests that hold both against each other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from sqlalchemy import Connection, delete, inspect, update

from streambind.binding.binder import Lane
from streambind.configuration.properties import ConsumerProperties
from streambind.inbound.input import InputPlan
from streambind.inbound.limits import Limits
from streambind.message import Message
from streambind.replicas.comparison import Difference
from streambind.replicas.diff import topic_difference
from streambind.replicas.fold import Log
from streambind.replicas.rebuild import Rebuild, Rebuilt
from streambind.replicas.replica import Replica
from tests.integration.inbound.replicas import Item, changed
from tests.integration.inbound.service import DESTINATION, GROUP, Service, drain
from tests.unit.inbound.batches import ListBatch, Record


class Topic:
    """Two partitions of records; `deliver` gives them to the service's replica."""

    def __init__(self, service: Service, plan: InputPlan, *, trusts: bool = True) -> None:
        self.service = service
        self.plan = plan
        self.trusts = trusts
        self.partitions: tuple[list[Record], list[Record]] = ([], [])
        self.starts = [0, 0]
        self.reads = 0
        self.few = 100
        """How many messages are read at a time."""

    def deliver(self, *records: Record, partition: int = 0) -> None:
        start = len(self.partitions[partition])
        self.partitions[partition].extend(records)
        outcomes = drain(self.plan, ListBatch(records, start, DESTINATION, partition))
        assert sum(outcome.done for outcome in outcomes) == len(records), outcomes

    def log(self) -> Log:
        starts = {Lane(DESTINATION, number): start for number, start in enumerate(self.starts)}
        return Log(starts, {}, self._read)

    def _read(self, lane: Lane, at: int) -> Sequence[Message]:
        self.reads += 1
        records = self.partitions[lane.partition]
        batch = ListBatch(records, 0, DESTINATION, lane.partition)
        return [batch.message(i) for i in range(at, min(at + self.few, len(records)))]

    def replica(self) -> Replica:
        (plan,) = self.plan.replicas
        limits = Limits.of(ConsumerProperties())
        return Replica(
            plan, "in-things", GROUP, (DESTINATION,), "application/json", UTC, limits, trusts=self.trusts
        )

    def difference(self, **how: Any) -> Difference:
        settings: dict[str, Any] = {"skip_unreadable": False, "limit": 1000, "progress": _quiet, **how}
        return topic_difference(self.service.database, self.replica(), self.log(), **settings)[0]

    def rebuild(self, **how: Any) -> Rebuilt:
        settings: dict[str, Any] = dict.fromkeys(("restart", "force", "dry_run", "skip_unreadable"), False)
        settings |= {"limit": 1000, "progress": _quiet, **how}
        return self.rebuilding().run(self.log(), **settings)

    def rebuilding(self) -> Rebuild:
        return Rebuild(self.service.database, self.replica(), published=False)

    def tables(self) -> set[str]:
        """The tables that commands have left behind."""
        return self.service.database.run(_left)


def drop_left(service: Service) -> None:
    """Drop the tables that commands have left behind."""

    def work(connection: Connection) -> None:
        for name in _left(connection):
            connection.exec_driver_sql(f"DROP TABLE {name}")

    service.database.run(work)


def _left(connection: Connection) -> set[str]:
    names = inspect(connection).get_table_names()
    return {name for name in names if name.startswith(("sb_new_", "sb_old_", "sb_diff_"))}


RIGHT = {each: f"n{each}" for each in range(1, 6)}
"""The rows that the topic of `wrong_copy` tells of."""


def wrong_copy(service: Service) -> Topic:
    """A replica of five rows, of which three are not as they should be, and one too many."""
    topic = Topic(service, service.plan(Item))
    topic.deliver(*(changed("INSERT", key, name, seq=1) for key, name in RIGHT.items()))
    topic.deliver(changed("INSERT", 8, "gone", seq=1), changed("DELETE", 8, seq=2), partition=1)

    def spoil(connection: Connection) -> None:
        connection.execute(update(Item).where(Item.id == 1).values(name="x"))
        connection.execute(delete(Item).where(Item.id.in_([2, 3])))

    service.database.run(spoil)
    return topic


def _quiet(_: int, __: int) -> None:
    """Nobody watches."""
