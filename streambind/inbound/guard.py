"""The sequence guard: of each key's numbered events, each is applied once, in order, and none is missing.

The position alone sees to it that no record of the log is applied twice. The guard looks at what the log holds:
an event that the producing side sent twice, or one whose predecessor never came.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, cast

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.exc import IntegrityError

from streambind.errors import PermanentError, SequenceForkError, SequenceGapError
from streambind.inbound.failure import MessageFailed, Overtaken
from streambind.inbound.numbers import Run, add_runs, event_of, runs_of
from streambind.inbound.positions import Past
from streambind.inbound.sequence import Applied, Chain, follows
from streambind.message import Batch
from streambind.persistence.database import Database
from streambind.persistence.failures import is_duplicate
from streambind.persistence.growing_query import GrowingQuery
from streambind.persistence.key_chunks import key_chunks
from streambind.read_ahead import READ_AT_ONCE, found_ahead

Row = tuple[Any, ...]
Numbered = tuple[int, Chain, Applied]
"""An event: the index of its message, whose it is, and its number."""

_SOURCES_REMEMBERED = 1_000


@dataclass(slots=True)
class Examination:
    """What the guard found in a batch: the messages to pass over, and the rows to write if the rest is
    applied."""

    duplicates: set[int] = field(default_factory=set)
    stale: set[int] = field(default_factory=set)
    """Those of the duplicates that an undone history sent."""
    epochs: list[tuple[int, int, int]] = field(default_factory=list)
    """Which messages began a new epoch of their key: index, the last epoch, the new one."""
    stored: dict[Chain, Applied] = field(default_factory=dict)
    applied: dict[Chain, Applied] = field(default_factory=dict)


class _Before:
    """`sequence.Before` for one chain after the other of a batch. `since_ms`: when the chain's last event was
    written, None if it is of this batch."""

    def __init__(
        self, past: Callable[[], Past], stored_epoch: Callable[[str, int], int], found: Examination
    ) -> None:
        self._past = past
        self._stored_epoch = stored_epoch
        self._found = found
        self._known: Past | None = None
        self.source_id = ""
        self.since_ms: int | None = None

    def may_begin_within(self) -> bool:
        return self._seen().began_within or self._seen().is_compacted

    def may_leave_out(self) -> bool:
        return self._seen().is_compacted or self.was_moved()

    def was_moved(self) -> bool:
        skipped_ms = self._seen().skipped_ms
        return skipped_ms is not None and self.since_ms is not None and self.since_ms <= skipped_ms

    def latest_epoch(self, enough: int) -> int:
        here = (event.epoch for chain, event in self._found.applied.items() if chain.source_id == self.source_id)
        return max(self._stored_epoch(self.source_id, enough), *here, 0)

    def _seen(self) -> Past:
        if self._known is None:
            self._known = self._past()
        return self._known


class SequenceGuard:
    """The guard of one group. State per group, destination, source and key."""

    def __init__(self, database: Database, group: str) -> None:
        self._table = database.tables.guard
        self._dialect = database.dialect
        self._group = group
        self._epochs: dict[tuple[str, str], int] = {}
        columns, now_ms = self._table.c, database.dialect.now_ms
        key = [columns.group_name, columns.destination, columns.source_id, columns.key]
        named = [*key, columns.epoch, columns.seq, columns.event_id]
        rows, also = database.dialect.row_statements(), {"updated_ms": now_ms}
        self._insert = rows.insert(self._table, [*named, columns.applied_seq], also)
        # Rows that are there, and locked: but this way they are found by the index, however the planner sees it.
        self._change = rows.upsert(self._table, key, [*named, columns.applied_seq], also)
        self._pass = rows.update(self._table, key, [columns.epoch, columns.seq, columns.event_id], also)
        mine = (
            columns.group_name == group,
            columns.destination == bindparam("of_destination"),
            columns.source_id == bindparam("of_source"),
            database.dialect.one_of(columns.key, "keys"),
        )
        stored = select(columns.key, columns.epoch, columns.seq, columns.updated_ms).where(*mine)
        self._stored = GrowingQuery(database.dialect.locked(stored.order_by(columns.key)))
        self._ids = select(columns.key, columns.event_id).where(*mine)

    def examine(
        self,
        connection: Connection,
        batch: Batch,
        indexes: Sequence[int],
        *,
        past: Callable[[], Past],
        passing_over: bool = False,
    ) -> Examination:
        """Judge the messages in order. The rows of their keys are locked until the transaction ends, those of
        unknown keys are not: `record` notices when another owner writes one first. What is `passing_over` has
        no number if its headers cannot be read.

        Raises:
            MessageFailed: with a SequenceGapError or SequenceForkError; with a PermanentError if the headers of
                a message cannot be read.
        """
        runs = self._runs(batch, indexes)
        events = [] if runs is not None else _events(batch, indexes, passing_over=passing_over)
        chains = sorted(runs if runs is not None else {chain for _, chain, _ in events})
        if not chains:
            return Examination()
        rows = self._locked(connection, batch.destination, chains)
        found = Examination(stored={chain: last for chain, (last, _) in rows.items()})
        if runs is not None:
            if all(run.follows(found.stored.get(chain)) for chain, run in runs.items()):
                found.applied = {chain: runs[chain].end(batch) for chain in chains}
                return found
            events = _events(batch, indexes, passing_over=passing_over)
        self._identify(connection, batch.destination, found.stored, events)
        before = _Before(
            past, lambda source_id, enough: self._epoch(connection, batch.destination, source_id, enough), found
        )
        for index, chain, event in events:
            last = found.applied.get(chain) or found.stored.get(chain)
            before.source_id = chain.source_id
            before.since_ms = None if last is None or chain in found.applied else rows[chain][1]
            try:
                if follows(last, event, before):
                    found.applied[chain] = event
                    if last is not None and event.epoch > last.epoch:
                        found.epochs.append((index, last.epoch, event.epoch))
                else:
                    found.duplicates.add(index)
                    if last is not None and event.epoch < last.epoch:
                        found.stale.add(index)
            except (SequenceGapError, SequenceForkError) as error:
                raise MessageFailed(index, error) from error
        return found

    def read_ahead(self, batch: Batch) -> Generator[None, None, dict[Chain, Run] | None]:
        runs: dict[Chain, Run] = {}
        for start in range(0, len(batch), READ_AT_ONCE):
            if not add_runs(runs, batch, range(start, min(start + READ_AT_ONCE, len(batch)))):
                return None
            yield
        return runs

    def _runs(self, batch: Batch, indexes: Sequence[int]) -> dict[Chain, Run] | None:
        """As `runs_of`; None also where a message cannot be read, of which `_events` tells more."""
        if len(indexes) == len(batch) and (runs := found_ahead(batch, self)) is not None:
            return cast("dict[Chain, Run]", runs)
        try:
            return runs_of(batch, indexes)
        except PermanentError:
            return None

    def record(
        self, connection: Connection, destination: str, found: Examination, *, passed_over: bool = False
    ) -> None:
        """Write what was applied, or `passed_over`.

        Raises:
            Overtaken: another owner was the first to write one of the keys; the transaction must roll back.
        """
        changed: list[Row] = []
        passed: list[Row] = []
        new: list[Row] = []
        for chain, last in sorted(found.applied.items()):
            row = (self._group, destination, *chain, *last)
            before = found.stored.get(chain)
            if passed_over and before is not None and before.epoch == last.epoch:
                passed.append(row)
            else:
                applied = last.seq - 1 if passed_over else last.seq
                (new if before is None else changed).append((*row, applied))
        if changed:
            self._change(connection, changed)
        if passed:
            self._pass(connection, passed)
        if new:
            try:
                self._insert(connection, new)
                self._stored.grew(len(new))
            except IntegrityError as error:
                if not is_duplicate(error):
                    raise
                raise Overtaken("another owner was the first to write a number of its key") from error

    def accept_gap(self, connection: Connection, batch: Batch, index: int) -> None:
        """Let the numbers before the message's count as passed over, so that it is the next one of its key.

        Raises:
            MessageFailed: the headers of the message cannot be read.
            Overtaken: as from `record`.
        """
        for _, chain, event in _events(batch, [index], passing_over=False):
            rows = self._locked(connection, batch.destination, [chain])
            stored = {chain: last for chain, (last, _) in rows.items()}
            missing = {chain: Applied(event.epoch, event.seq - 1, None)}
            found = Examination(stored=stored, applied=missing)
            self.record(connection, batch.destination, found, passed_over=True)

    def _epoch(self, connection: Connection, destination: str, source_id: str, enough: int) -> int:
        """As `sequence.Before.latest_epoch`; 0 if nothing is known of the source. To ask the database reads all
        rows of the source: what was known a while ago is asked first, and is only ever too low."""
        place = destination, source_id
        if self._epochs.get(place, 0) < enough:
            columns = self._table.c
            query = select(func.max(columns.epoch)).where(
                columns.group_name == self._group,
                columns.destination == destination,
                columns.source_id == source_id,
            )
            if len(self._epochs) >= _SOURCES_REMEMBERED:
                self._epochs.clear()  # Anyone may have made sources up.
            self._epochs[place] = int(connection.scalar(query) or 0)
        return self._epochs[place]

    def _locked(
        self, connection: Connection, destination: str, chains: Sequence[Chain]
    ) -> dict[Chain, tuple[Applied, int]]:
        """The stored rows, and when they were written, locked in the order of the keys, so that two owners cannot
        deadlock."""
        known: dict[Chain, tuple[Applied, int]] = {}
        for source_id, keys in _by_source(chains):
            given = {"of_destination": destination, "of_source": source_id, "keys": keys}
            for key, epoch, seq, updated_ms in connection.execute(self._stored.now(), given).all():
                known[Chain(source_id, key)] = Applied(epoch, seq, None), updated_ms
        return known

    def _identify(
        self, connection: Connection, destination: str, stored: dict[Chain, Applied], events: Sequence[Numbered]
    ) -> None:
        """Add the ids of the last events whose numbers come again: only then they count."""
        again = {chain for _, chain, event in events if chain in stored and stored[chain].seq == event.seq}
        for source_id, keys in _by_source(sorted(again)):
            given = {"of_destination": destination, "of_source": source_id, "keys": keys}
            for key, event_id in connection.execute(self._ids, given):
                chain = Chain(source_id, key)
                stored[chain] = stored[chain]._replace(event_id=event_id)


def _events(batch: Batch, indexes: Sequence[int], *, passing_over: bool) -> list[Numbered]:
    events: list[Numbered] = []
    for index in indexes:
        try:
            numbered = event_of(batch, index)
        except PermanentError as error:
            if passing_over:
                continue
            raise MessageFailed(index, error) from error
        if numbered is not None:
            events.append((index, *numbered))
    return events


def _by_source(chains: Sequence[Chain]) -> Iterator[tuple[str, Sequence[bytes]]]:
    for source_id, group in groupby(chains, key=_source):
        for keys in key_chunks([chain.key for chain in group]):
            yield source_id, keys


def _source(chain: Chain) -> str:
    return chain.source_id
