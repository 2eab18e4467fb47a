"""The sequence guard: of each key's numbered events, each is applied once, in order, and none is missing.

The position alone sees to it that no record of the log is applied twice. The guard looks at what the log holds:
an event that the producing side sent twice, or one whose predecessor never came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import BindParameter, Connection, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from streambind.errors import PermanentError, SequenceForkError, SequenceGapError
from streambind.headers import header_text
from streambind.inbound.failure import MessageFailed, Overtaken
from streambind.message import EVENT_ID, ORIGIN, Batch, RawHeaders
from streambind.origin import Origin
from streambind.persistence.database import Database
from streambind.persistence.tables import MAX_KEY_BYTES, MAX_SOURCE_LENGTH

_EPOCH_LIMIT = 2**31
_KEYS_PER_STATEMENT = 5_000


class Applied(NamedTuple):
    """The last event of a key that was applied."""

    epoch: int
    seq: int
    event_id: UUID | None


class Chain(NamedTuple):
    """Whose numbers they are: one key's, from one source."""

    source_id: str
    key: bytes


def follows(last: Applied | None, event: Applied, *, may_begin_within: Callable[[], bool]) -> bool:
    """Whether to apply the event (True), or to pass it over as a duplicate (False).

    - The first event of a key is number 1, or any number if the group may have begun within the log.
    - A number up to the last one is a duplicate, the next one follows.
    - A lower epoch is a history that a restore of the source has undone: a duplicate.
    - With a higher epoch the source's numbers have gone back to where its restored database stood, which is not
      known here: any number up to the one after the last begins the new history. Only the next epoch counts: one
      that anyone made up would have all later events passed over.

    Raises:
        SequenceGapError: a predecessor has not been applied.
        SequenceForkError: the last number came again with another event id, or an epoch was left out.
    """
    if last is None:
        if event.seq == 1 or may_begin_within():
            return True
        raise SequenceGapError(
            f"number {event.seq} is the first of its key to come, but number 1 was never applied"
        )
    if event.epoch < last.epoch:
        return False
    if event.epoch > last.epoch + 1:
        raise SequenceForkError(
            f"epoch {event.epoch} of its source came after epoch {last.epoch} of its key: only the next follows"
        )
    if event.seq > last.seq + 1:
        raise SequenceGapError(f"number {event.seq} of its key came after number {last.seq}")
    if event.epoch > last.epoch or event.seq == last.seq + 1:
        return True
    if event.seq == last.seq and None not in (event.event_id, last.event_id) and event.event_id != last.event_id:
        raise SequenceForkError(
            f"number {event.seq} of its key came with event id {event.event_id}, was applied with "
            f"{last.event_id}: the source's history has two versions; after a restore raise its epoch"
        )
    return False


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


class SequenceGuard:
    """The guard of one group. State per group, destination, source and key."""

    def __init__(self, database: Database, group: str) -> None:
        self._table = database.tables.guard
        self._row_locks = database.dialect.row_locks
        self._group = group
        columns = self._table.c
        values = {
            "epoch": bindparam("last_epoch"),
            "seq": bindparam("last_seq"),
            "event_id": bindparam("last_event"),
            "updated_ms": database.dialect.now_ms,
        }
        identity: dict[str, BindParameter[Any]] = {
            "destination": bindparam("of_destination"),
            "source_id": bindparam("of_source"),
            "key": bindparam("of_key"),
        }
        # One statement for many rows: statements with many VALUES are compiled anew for every batch.
        self._insert = insert(self._table).values(group_name=group, **identity, **values)
        self._update = (
            update(self._table)
            .where(columns.group_name == group, *(columns[name] == value for name, value in identity.items()))
            .values(**values)
        )

    def examine(
        self,
        connection: Connection,
        batch: Batch,
        indexes: Iterable[int],
        *,
        began_within: Callable[[], bool],
        passing_over: bool = False,
    ) -> Examination:
        """Judge the messages in order. The rows of their keys are locked until the transaction ends, those of
        unknown keys are not: `record` notices when another owner writes one first. What is `passing_over` has
        no number if its headers cannot be read.

        Raises:
            MessageFailed: with a SequenceGapError or SequenceForkError; with a PermanentError if the headers of
                a message cannot be read.
        """
        events = _events(batch, indexes, passing_over=passing_over)
        found = Examination()
        if not events:
            return found
        found.stored = self._locked(connection, batch.destination, sorted({chain for _, chain, _ in events}))
        for index, chain, event in events:
            last = found.applied.get(chain) or found.stored.get(chain)
            try:
                if follows(last, event, may_begin_within=began_within):
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

    def record(self, connection: Connection, destination: str, found: Examination) -> None:
        """Write what was applied.

        Raises:
            Overtaken: another owner was the first to write one of the keys; the transaction must roll back.
        """
        changed: list[dict[str, object]] = []
        new: list[dict[str, object]] = []
        for chain, last in sorted(found.applied.items()):
            (changed if chain in found.stored else new).append(
                {
                    "of_source": chain.source_id,
                    "of_key": chain.key,
                    "last_epoch": last.epoch,
                    "last_seq": last.seq,
                    "last_event": last.event_id,
                }
            )
        if changed:
            connection.execute(self._update, [{"of_destination": destination, **row} for row in changed])
        if new:
            try:
                connection.execute(self._insert, [{"of_destination": destination, **row} for row in new])
            except IntegrityError as error:
                raise Overtaken(error) from error

    def _locked(self, connection: Connection, destination: str, chains: Sequence[Chain]) -> dict[Chain, Applied]:
        """The stored rows, locked in the order of the keys, so that two owners cannot deadlock."""
        columns = self._table.c
        known: dict[Chain, Applied] = {}
        for source_id, keys in _by_source(chains):
            query = (
                select(columns.key, columns.epoch, columns.seq, columns.event_id)
                .where(
                    columns.group_name == self._group,
                    columns.destination == destination,
                    columns.source_id == source_id,
                    columns.key.in_(keys),
                )
                .order_by(columns.key)
            )
            if self._row_locks:
                query = query.with_for_update()
            for key, epoch, seq, event_id in connection.execute(query):
                known[Chain(source_id, key)] = Applied(epoch, seq, event_id)
        return known


def _events(batch: Batch, indexes: Iterable[int], *, passing_over: bool) -> list[tuple[int, Chain, Applied]]:
    events: list[tuple[int, Chain, Applied]] = []
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


def event_of(batch: Batch, index: int) -> tuple[Chain, Applied] | None:
    """The numbered event that a message carries; None if it has no number that counts: no key, no `sb-origin`,
    or one that was copied from another destination.

    Raises:
        PermanentError: the message's headers cannot be read.
    """
    headers = batch.raw_headers(index)
    text = header_text(headers, ORIGIN)
    if text is None:
        return None
    origin = Origin.parse(text)
    key = batch.key(index)
    if origin is None or key is None or origin.destination != batch.destination:
        return None
    # Anyone can write this header: what does not fit the table is no origin.
    if (
        len(key) > MAX_KEY_BYTES
        or len(origin.source_id) > MAX_SOURCE_LENGTH
        or not (origin.source_id.isascii() and origin.source_id.isprintable())
        or origin.epoch >= _EPOCH_LIMIT
    ):
        return None
    return Chain(origin.source_id, key), Applied(origin.epoch, origin.seq, _event_id(headers))


def _event_id(headers: RawHeaders) -> UUID | None:
    text = header_text(headers, EVENT_ID)
    try:
        return UUID(text) if text is not None else None
    except ValueError:
        return None


def _by_source(chains: Sequence[Chain]) -> Iterator[tuple[str, list[bytes]]]:
    for source_id, group in groupby(chains, key=_source):
        keys = [chain.key for chain in group]
        for start in range(0, len(keys), _KEYS_PER_STATEMENT):
            yield source_id, keys[start : start + _KEYS_PER_STATEMENT]


def _source(chain: Chain) -> str:
    return chain.source_id
