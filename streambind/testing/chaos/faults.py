"""The faults of a chaos run, by kind. Each is bounded, hits this machine only, and says what ends it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from confluent_kafka import Consumer, KafkaException
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from streambind.persistence.tables import SHARDS
from streambind.testing.chaos.observed import ObservedDatabase
from streambind.testing.chaos.program import Program
from streambind.testing.chaos.proxy import Proxy

FROZEN_S = (4.0, 9.0)
"""Longer than the sessions of consumers and the leases of relays should be in such a run: others take over."""
_DEAD_S = (0.1, 1.5)
_HELD_S = (0.5, 4.0)
_ARMED_S = 2.0
_MEMBER_S = 0.3
_MEMBERS = (2, 5)

Undo = Callable[[], None]
After = Callable[[float, Undo], None]
"""Has the run do something once so many seconds have passed, at the latest before it drains."""


class Fault(Protocol):
    """One kind of fault on its targets."""

    @property
    def kind(self) -> str: ...

    def strike(self, chance: Random, after: After) -> str | None:
        """Do it, and hand to `after` what ends it, whether anything still has to be ended or not. Returns what was
        hit; None if there was nothing to hit."""
        ...


@dataclass(frozen=True)
class Kill:
    """kill -9, and a new start a moment later."""

    programs: Sequence[Program]
    kind: str = "kill"

    def strike(self, chance: Random, after: After) -> str | None:
        program = _running(self.programs, chance)
        if program is None:
            return None
        program.kill()
        after(chance.uniform(*_DEAD_S), lambda: start_if_dead(program))
        return program.name


@dataclass(frozen=True)
class Freeze:
    """SIGSTOP, SIGCONT after seconds: whoever stood still believes that nothing has happened."""

    programs: Sequence[Program]
    kind: str = "freeze"

    def strike(self, chance: Random, after: After) -> str | None:
        program = _running(self.programs, chance)
        if program is None:
            return None
        program.freeze()
        after(chance.uniform(*FROZEN_S), program.thaw)
        return program.name


@dataclass(frozen=True)
class StealLeases:
    """Shards of the outbox are free in the database while their relay believes that it holds them."""

    databases: Sequence[ObservedDatabase]
    kind: str = "steal-leases"

    def strike(self, chance: Random, after: After) -> str | None:
        database = chance.choice(self.databases)
        shards = chance.sample(range(SHARDS), SHARDS // 2)
        lease = database.tables.lease
        free = update(lease).where(lease.c.shard.in_(shards)).values(owner=None, expires_ms=0)
        try:
            with database.engine.begin() as connection:
                connection.execute(free)
        except SQLAlchemyError:
            return None  # The database is away: another fault is at work.
        after(0, _nothing)
        return f"{len(shards)} shards of {database.name}"


@dataclass(frozen=True)
class RebalanceStorm:
    """Members join the groups and leave again, one after the other; each takes partitions and handles nothing."""

    databases: Sequence[ObservedDatabase]
    brokers: str
    kind: str = "rebalance-storm"

    def strike(self, chance: Random, after: After) -> str | None:
        groups = sorted({(p.group, p.destination) for d in self.databases for p in d.positions() or ()})
        if not groups:
            return None
        group, destination = chance.choice(groups)
        members = chance.randint(*_MEMBERS)
        for _ in range(members):
            join_and_leave(self.brokers, group, destination)
        after(0, _nothing)
        return f"{members} members of {group}"


@dataclass
class Crash:
    """A server dies as in a power cut, and comes back on the same address with what it had on disk."""

    name: str
    crash: Callable[[], None]
    restart: Callable[[], object]
    is_down: bool = False

    @property
    def kind(self) -> str:
        return f"crash-{self.name}"

    def strike(self, chance: Random, after: After) -> str | None:
        if self.is_down:
            return None
        self.crash()
        self.is_down = True
        after(chance.uniform(*_DEAD_S), self._come_back)
        return self.name

    def _come_back(self) -> None:
        self.restart()
        self.is_down = False


@dataclass(frozen=True)
class Cut:
    """Every connection through a proxy breaks."""

    name: str
    proxy: Proxy

    @property
    def kind(self) -> str:
        return f"cut-{self.name}"

    def strike(self, chance: Random, after: After) -> str | None:
        count = self.proxy.cut()
        after(0, _nothing)
        return f"{count} connections"


@dataclass(frozen=True)
class Hold:
    """Nothing passes a proxy for a while, and nobody is told."""

    name: str
    proxy: Proxy

    @property
    def kind(self) -> str:
        return f"hold-{self.name}"

    def strike(self, chance: Random, after: After) -> str | None:
        self.proxy.hold()
        after(chance.uniform(*_HELD_S), self.proxy.let_go)
        return self.name


@dataclass(frozen=True)
class BreakAtCommit:
    """The connection of a COMMIT breaks, before it reaches the server or before its answer comes back: whoever
    asked for it does not learn which."""

    name: str
    proxy: Proxy

    @property
    def kind(self) -> str:
        return f"break-at-commit-{self.name}"

    def strike(self, chance: Random, after: After) -> str | None:
        self.proxy.break_at_commit(passed_on=chance.random() < 0.5)
        after(_ARMED_S, self.proxy.spare_commits)
        return self.name


def join_and_leave(brokers: str, group: str, destination: str, *, protocol: str = "classic") -> None:
    """Be a member of a group for a moment."""
    settings = {
        "group.protocol": protocol,
        "bootstrap.servers": brokers,
        "group.id": group,
        "enable.auto.commit": "false",
        "enable.auto.offset.store": "false",
        "log_level": "0",
    }
    if protocol == "classic":
        settings["partition.assignment.strategy"] = "cooperative-sticky"
        settings["session.timeout.ms"] = "6000"  # The group waits so long if it cannot say that it leaves.
    consumer = Consumer(settings)
    with contextlib.suppress(KafkaException):
        consumer.subscribe([destination])
        consumer.poll(_MEMBER_S)
        # A member that closes in the middle of a rebalance says nothing, and holds up the group for a session.
        consumer.unsubscribe()
        consumer.poll(_MEMBER_S)
    consumer.close()


def _running(programs: Sequence[Program], chance: Random) -> Program | None:
    running = [program for program in programs if program.is_running]
    return chance.choice(running) if running else None


def start_if_dead(program: Program) -> None:
    """Start it again, unless somebody has done so meanwhile."""
    if not program.is_running:
        program.start()


def _nothing() -> None:
    """What ends a fault that is over at once."""
