"""The events of a destination folded into a table: the replica as it should be where its group stands.

The fold is a group of its own, with its own positions and its own guard, in the transactions of what it writes:
it survives its process, and several may work on it. Its name tells what the replica's code makes of messages, so
that other code begins a fold of its own. It goes exactly as far as the replica's group has gone, and no further.
Where the group's positions are locked meanwhile, both tables are of one and the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, Table, delete, select
from sqlalchemy.exc import DBAPIError

from streambind.binding.binder import Identity, Lane
from streambind.errors import LifecycleError
from streambind.failpoints import failpoint
from streambind.inbound.failure import Fenced
from streambind.inbound.positions import DatabasePositions, Stretch
from streambind.message import Message
from streambind.persistence.cut_names import cut_name
from streambind.persistence.database import Database
from streambind.persistence.failures import LOCK_TIMEOUT, state_of
from streambind.replicas.fingerprint import FINGERPRINT_LENGTH, fingerprint
from streambind.replicas.fold_writer import FoldWriter
from streambind.replicas.group_goals import applied_more, group_goals
from streambind.replicas.replica import Replica

T = TypeVar("T")

Read = Callable[[Lane, int], Sequence[Message]]
"""The next messages of a partition from an offset on; none at the end."""

_FEW = 500
"""How many messages may be left to be folded while the group waits."""

_TRIES = 10


@dataclass(frozen=True, slots=True)
class Log:
    """The replica's destinations at their broker: where partitions begin, what they are, and their messages."""

    starts: Mapping[Lane, int]
    identities: Mapping[str, Identity]
    read: Read


class FoldTakenAway(Exception):
    """The positions of a fold have gone: another process that works on it has ended it, or begun it anew."""


class Fold:
    """One fold of a replica's destinations into `table`. `skip_unreadable`: leave out what the replica cannot
    read, or the database refuses; else that is an error."""

    def __init__(
        self, database: Database, replica: Replica, table: Table, log: Log, *, skip_unreadable: bool
    ) -> None:
        self._database = database
        self._replica = replica
        self._log = log
        self._prefix = _fold_prefix(replica, table.name)
        self.group = self._prefix + fingerprint(replica)
        self._positions = DatabasePositions(database, self.group)
        self._writer = FoldWriter(database, replica, table, self.group, skip_unreadable=skip_unreadable)
        self.folded = self._writer.folded

    def has_begun(self, connection: Connection) -> bool:
        """Whether a fold of the same code into the same table has positions."""
        return bool(self._own(connection))

    def forget(self, connection: Connection) -> None:
        """Delete what is left of folds into a table of this name, by whatever code."""
        _forget(connection, self._database, self._prefix)

    def catch_up(self, progress: Callable[[int, int], None]) -> None:
        """Fold in transactions of their own, until few messages are left to where the group is. `progress` gets
        how many are folded, and how many there are.

        Raises:
            LifecycleError: the group has no position yet.
            StreambindError: a message cannot be folded.
        """
        while True:
            goals = self._database.run(lambda connection: self._goals(connection, lock=False))
            self._begin(goals)
            left = sum(max(0, goals[lane] - at) for lane, at in self._positions.read([*goals]).items())
            progress(self.folded.messages, self.folded.messages + left)
            if left <= _FEW:
                return
            self._round(goals, left, progress)

    def meet(self, work: Callable[[Connection], T], progress: Callable[[int, int], None]) -> T:
        """Do the work in a transaction in which the group stands still, the fold at its side.

        Again, while somebody is in the way for longer than the database waits. If this process stands still in it,
        the database ends the transaction: the group would stand still with it.

        Raises:
            LifecycleError: the fold cannot go on.
        """

        def met(connection: Connection) -> T:
            self._join(connection)
            return work(connection)

        for _ in range(_TRIES - 1):
            try:
                return self._database.run_bounded(met)
            except Fenced:
                pass  # Another process was faster: look where it is.
            except DBAPIError as error:
                if state_of(error) != LOCK_TIMEOUT:
                    raise
            self.catch_up(progress)
        return self._database.run_bounded(met)

    def _join(self, connection: Connection) -> None:
        """Hold the group until the transaction ends, and fold what is left to where it is."""
        goals = self._goals(connection, lock=True)
        at = self._own(connection)
        if goals and not at:
            raise FoldTakenAway
        if missing := goals.keys() - at.keys():
            raise LifecycleError(f"{len(missing)} partitions are new: try again")
        waiting = {lane for lane, goal in goals.items() if at[lane] < goal}
        while waiting:
            before = dict(at)
            for lane in sorted(waiting, key=lambda x: (x.destination, x.partition)):
                while at[lane] < goals[lane]:
                    messages = self._next(lane, at[lane], goals[lane])
                    moved = self._advance(connection, messages, lane, at[lane], goals[lane])
                    if moved is None:
                        break
                    at[lane] = moved
            waiting = {lane for lane in waiting if at[lane] < goals[lane]}
            if waiting and at == before and not self._unblock(connection, at, goals):
                raise LifecycleError(self._stuck())
        self._require_all(connection)

    def _unblock(self, connection: Connection, at: dict[Lane, int], goals: Mapping[Lane, int]) -> bool:
        """Where all lanes wait for what none of them brings, let one go on as the group has; False if none may."""
        for lane in sorted(goals, key=lambda x: (x.destination, x.partition)):
            if at[lane] < goals[lane]:
                messages = self._next(lane, at[lane], goals[lane])
                moved = self._advance(connection, messages, lane, at[lane], goals[lane], blocked=True)
                if moved is not None:
                    at[lane] = moved
                    return True
        return False

    def _stuck(self) -> str:
        if self.folded.blocked is None:
            return "the fold cannot go on: somebody else folds too"
        return (
            f"{self.folded.blocked}, and is parked: wait for what is missing, or give it up, or the message "
            "(streambind dlq retry --accept-gaps, or skip)"
        )

    def _require_all(self, connection: Connection) -> None:
        """What the group has applied it never applies again, wherever it is: it must be in the fold."""
        is_whole = not any(self._log.starts.values())
        if self._replica.trusts and applied_more(
            connection, self._database, self._replica, self.group, is_whole=is_whole
        ):
            raise LifecycleError(
                f"group {self._replica.group} was further before: its position was moved back, and what it has "
                "applied it passes over now. Let it go on until it is where it was (streambind positions show), "
                "then try again. If it was not moved, the log has lost what the group has applied, of keys that "
                "were in other partitions before: compare with the source (streambind replica diff --source)"
            )

    def _own(self, connection: Connection) -> dict[Lane, int]:
        columns = self._database.tables.position.c
        query = select(columns.destination, columns.partition, columns.next_offset)
        rows = connection.execute(query.where(columns.group_name == self.group))
        return {Lane(row.destination, row.partition): row.next_offset for row in rows}

    def _round(self, goals: Mapping[Lane, int], left: int, progress: Callable[[int, int], None]) -> None:
        moved_any = False
        for lane, goal in goals.items():
            while (at := self._at(lane)) < goal:
                moved = self._step(lane, at, goal)
                if moved is None:
                    break
                moved_any = True
                left -= moved - at
                progress(self.folded.messages, self.folded.messages + left)
        if not moved_any and not any(
            (at := self._at(lane)) < goal and self._step(lane, at, goal, blocked=True) is not None
            for lane, goal in goals.items()
        ):
            raise LifecycleError(self._stuck())

    def _at(self, lane: Lane) -> int:
        at = self._positions.read([lane]).get(lane)
        if at is None:
            raise FoldTakenAway
        return at

    def _step(self, lane: Lane, at: int, goal: int, *, blocked: bool = False) -> int | None:
        messages = self._next(lane, at, goal)  # Not in the transaction, which others wait for.
        try:
            moved = self._database.run(
                lambda connection: self._advance(connection, messages, lane, at, goal, blocked=blocked)
            )
        except Fenced:
            return at  # Another process was faster: look where it is.
        failpoint("rebuild.after_batch")
        return moved

    def _next(self, lane: Lane, at: int, goal: int) -> Sequence[Message]:
        return [message for message in self._log.read(lane, at) if (message.offset or 0) < goal]

    def _advance(
        self,
        connection: Connection,
        messages: Sequence[Message],
        lane: Lane,
        at: int,
        goal: int,
        *,
        blocked: bool = False,
    ) -> int | None:
        """Fold the next messages; returns where the lane is then, None if it must wait for another one. `blocked`:
        no lane brings what it waits for."""
        if not messages:
            to: int | None = goal
        elif blocked:
            to = self._writer.write_successor(connection, messages[0], at)
        else:
            to = self._writer.write(connection, messages, at)
        return None if to is None else self._moved(connection, lane, at, to)

    def _moved(self, connection: Connection, lane: Lane, at: int, to: int) -> int:
        stretch = Stretch(lane, at, to)
        if not self._positions.claim(connection, stretch) or not self._positions.move(connection, stretch):
            raise Fenced(lane)
        return to

    def _goals(self, connection: Connection, *, lock: bool) -> dict[Lane, int]:
        return group_goals(connection, self._database, self._replica, lock=lock)

    def _begin(self, goals: Mapping[Lane, int]) -> None:
        known = self._positions.read([*goals])
        new = {lane: (self._log.starts.get(lane, 0), "earliest") for lane in goals if lane not in known}
        for lane, (start, _) in new.items():
            if start > goals[lane]:
                raise LifecycleError(
                    f"{lane.destination}[{lane.partition}] begins at {start}, group {self._replica.group} is at "
                    f"{goals[lane]}: messages were lost to retention"
                )
        self._positions.adopt(new, self._log.identities)


def forget_fold(connection: Connection, database: Database, replica: Replica, table: str) -> None:
    """Delete what is left of folds of the replica into a table of this name."""
    _forget(connection, database, _fold_prefix(replica, table))


def _forget(connection: Connection, database: Database, prefix: str) -> None:
    group = database.tables.position.c.group_name
    found = connection.scalars(select(group).where(group.startswith(prefix, autoescape=True)).distinct())
    names = [name for name in found if name.startswith(prefix)]  # LIKE may not look at the case.
    for table in (database.tables.position, database.tables.guard):
        connection.execute(delete(table).where(table.c.group_name.in_(names)))


def _fold_prefix(replica: Replica, table: str) -> str:
    """How the names of the fold's groups begin; a fingerprint follows."""
    return cut_name(f"{replica.group} -> {table}", 255 - FINGERPRINT_LENGTH - 2) + " #"
