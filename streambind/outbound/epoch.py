"""The source's epoch: raised after a restore of its database, so that consumers follow its numbers back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from streambind.message import Message, origin_of
from streambind.outbound.wire_message import Source
from streambind.persistence.database import Database
from streambind.persistence.key_chunks import key_chunks


@dataclass(frozen=True, slots=True)
class Travelled:
    """What destinations hold of a source's events, as far as it was read: how many, the highest epoch, and keys
    whose numbers the database has not given: (destination, key, number there, number here)."""

    events: int
    epoch: int
    ahead: Sequence[tuple[str, bytes, int, int]]


def source_of(database: Database) -> Source:
    """Where the database's events come from.

    Raises:
        SQLAlchemyError: the database is away, or the tables are missing.
    """
    table = database.tables.source
    return database.run(lambda c: Source(*c.execute(select(table.c.source_id, table.c.epoch)).one()))


def raise_epoch(database: Database, seen: Source, epoch: int) -> bool:
    """Set a higher epoch; False, with nothing changed, if somebody else has meanwhile. Relays read it with each
    batch of rows.

    Raises:
        SQLAlchemyError: nothing has changed.
    """
    table = database.tables.source
    same = (table.c.source_id == seen.source_id, table.c.epoch == seen.epoch)
    return database.run(lambda c: c.execute(update(table).where(*same).values(epoch=epoch)).rowcount == 1)


def travelled(database: Database, source: Source, messages: Iterable[Message]) -> Travelled:
    """Hold messages of destinations against what the database knows of its own.

    Raises:
        SQLAlchemyError: the database is away.
    """
    newest: dict[tuple[str, bytes], tuple[int, int]] = {}
    events = epoch = 0
    for message in messages:
        origin = origin_of(message.raw_headers)
        if origin is None or message.key is None or origin.source_id != source.source_id:
            continue
        if origin.destination != message.destination:
            continue
        events += 1
        epoch = max(epoch, origin.epoch)
        place = (origin.destination, message.key)
        newest[place] = max(newest.get(place, (0, 0)), (origin.epoch, origin.seq))
    # Numbers of a lower epoch were left behind by a restore that is known already.
    here = database.run(lambda connection: _numbers(connection, database, sorted(newest)))
    ahead = [
        (*place, seq, here.get(place, 0))
        for place, (of_epoch, seq) in sorted(newest.items())
        if of_epoch >= source.epoch and seq > here.get(place, 0)
    ]
    return Travelled(events, epoch, ahead)


def _numbers(
    connection: Connection, database: Database, places: Sequence[tuple[str, bytes]]
) -> dict[tuple[str, bytes], int]:
    columns = database.tables.key.c
    found: dict[tuple[str, bytes], int] = {}
    for destination in sorted({destination for destination, _ in places}):
        keys = [key for name, key in places if name == destination]
        for some in key_chunks(keys):
            rows = connection.execute(
                select(columns.key, columns.seq).where(columns.destination == destination, columns.key.in_(some))
            )
            found |= {(destination, row.key): row.seq for row in rows}
    return found
