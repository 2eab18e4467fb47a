"""Rows of a mapped class, read by their primary keys as they are now, whatever the session knows of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, Literal

from sqlalchemy import Connection, FromClause, Join, Select, Table, bindparam, select, tuple_
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Mapper

from streambind.persistence.dialects import dialect_of
from streambind.persistence.failures import is_undefined_index

Key = tuple[Any, ...]
"""A primary key."""

Lock = Literal["UPDATE", "DELETE"]
"""The statement that rows are locked for, as it would lock them."""

_PER_READ = 500


def stored_rows(
    connection: Connection, mapper: Mapper[Any], names: Iterable[str], keys: Sequence[Key], *, lock: Lock | None
) -> dict[Key, dict[str, Any]]:
    """What the rows with these primary keys hold in the attributes of these names, without rows that are gone.

    Nobody changes them until the transaction ends: either it has written them, or they are locked. Of rows that
    lie in several tables, of which it may have written one, all parts are locked. Not read through the session,
    whose users may have told it to leave out some rows.
    """
    ordered = tuple(sorted(names))
    wanted = _sorted(set(keys))
    found: dict[Key, dict[str, Any]] = {}
    for start in range(0, len(wanted), _PER_READ):
        found.update(_rows(connection, mapper, ordered, wanted[start : start + _PER_READ], lock))
    for key in wanted:
        if key not in found:
            # A database may tell a key otherwise than it was given: "7" as 7, "A" as "a". And policies of
            # PostgreSQL may hide rows from who locks them that they show to who reads or deletes them.
            for _, row in _rows(connection, mapper, ordered, [key], None):
                found[key] = row
    return found


def _sorted(keys: Collection[Key]) -> Sequence[Key]:
    """In the order in which a flush writes rows: in another one, two may wait for each other."""
    try:
        return sorted(keys)
    except TypeError:
        return list(keys)


def _rows(
    connection: Connection, mapper: Mapper[Any], names: tuple[str, ...], keys: Sequence[Key], lock: Lock | None
) -> Iterator[tuple[Key, dict[str, Any]]]:
    width = len(mapper.primary_key)
    query = partial(_query, mapper, names, connection.dialect.name, lock)
    parameters = {"keys": [key[0] for key in keys] if width == 1 else list(keys)}
    try:
        rows = connection.execute(query(by_key=True), parameters)
    except DBAPIError as error:
        if not is_undefined_index(error):
            raise
        # What is a primary key to the mapping need not be one to the database.
        rows = connection.execute(query(by_key=False), parameters)
    for row in rows:
        yield tuple(row[:width]), dict(zip(names, row[width:], strict=True))


@lru_cache(maxsize=500)
def _query(
    mapper: Mapper[Any], names: tuple[str, ...], dialect_name: str, lock: Lock | None, *, by_key: bool
) -> Select[Any]:
    dialect, key = dialect_of(dialect_name), mapper.primary_key
    columns = [mapper.attrs[name].columns[0] for name in names]
    if len(key) == 1:
        chosen = dialect.one_of(key[0], "keys")
    else:
        chosen = tuple_(*key).in_(bindparam("keys", expanding=True))
    query = select(*key, *columns).select_from(mapper.persist_selectable).where(chosen)
    tables = _joined_tables(mapper.persist_selectable)
    if by_key:
        query = dialect.by_key(query, tables)
    if tables and (lock or len(tables) > 1):
        query = query.order_by(*key)
        return dialect.locked(query) if lock == "DELETE" else dialect.updating(query, tables)
    return dialect.latest(query)


def _joined_tables(of: FromClause) -> list[Table]:
    """The tables of an inner join; none if it is something else, whose rows cannot be locked."""
    if isinstance(of, Table):
        return [of]
    if not isinstance(of, Join) or of.isouter or of.full:
        return []
    parts = [_joined_tables(part) for part in (of.left, of.right)]
    return [table for part in parts for table in part] if all(parts) else []
