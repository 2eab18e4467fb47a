"""What a replica does with an event, worked out once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import Boolean, Column, Table
from sqlalchemy.orm import Mapper

from streambind.errors import PermanentError
from streambind.event import JobType
from streambind.inbound.replica_columns import ReplicaColumns, Source, job_field
from streambind.inbound.replica_key import KeyReader, key_reader
from streambind.inbound.replicates import ReplicaMark

Row = tuple[Any, ...]

_INSERT, _UPDATE = JobType.INSERT, JobType.UPDATE
_FIRST, _LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
"""The times at the ends, which are times in every zone."""
_JOBS: Mapping[object, bool] = {_INSERT: False, _UPDATE: False, JobType.DELETE: True}
"""Whether a job deletes."""


@dataclass(frozen=True, slots=True, eq=False)
class ReplicaPlan:
    """A replica whose columns fit. A row holds a value for each of `columns`, the key first.
    `attributes` are their names in the class, `sources` what they are filled from; None for a soft delete's.

    `job` is the attribute of an event that says what has happened to the row; None if none does. `row_of` and
    `key_of` take an event, `key_of_message` the key of a message without payload. A delete removes the row if no
    columns are `cleared`; else it sets them to `cleared_at` the time of the message, in ms since the epoch.
    """

    mark: ReplicaMark
    mapper: Mapper[Any]
    table: Table
    key: tuple[Column[Any], ...]
    columns: tuple[Column[Any], ...]
    attributes: tuple[str, ...]
    sources: tuple[Source | None, ...]
    job: str | None
    row_of: Callable[[Any], Row]
    key_of: Callable[[Any], Row]
    key_of_message: KeyReader
    cleared: tuple[Column[Any], ...]
    cleared_attributes: tuple[str, ...]
    cleared_at: Callable[[int], Row]

    @staticmethod
    def of(found: ReplicaColumns) -> ReplicaPlan:
        """The plan of columns without mistakes."""
        mark, mapper = found.mark, found.mapper
        assert mapper is not None
        assert isinstance(mapper.local_table, Table)
        key = [found.sources[name] for name in found.key]
        rest = [name for name in found.sources if name not in found.key]
        # Fields are taken all at once: they come before what is computed.
        rest.sort(key=lambda name: not isinstance(found.sources[name], str))
        attributes, marks = (*found.key, *rest), tuple(filter(None, [mark.soft_delete]))
        if mark.soft_delete is not None:
            cleared, cleared_at = marks, _deleted_at(found.attributes[mark.soft_delete])
            kept: Row = (undeleted(found.attributes[mark.soft_delete]),)
        else:
            cleared = tuple(rest) if found.deletes == "columns" else ()
            values, kept = tuple(default_of(found.attributes[name]) for name in cleared), ()
            cleared_at = lambda _: values  # noqa: E731
        return ReplicaPlan(
            mark=mark,
            mapper=mapper,
            table=mapper.local_table,
            key=tuple(found.attributes[name] for name in found.key),
            columns=tuple(found.attributes[name] for name in (*attributes, *marks)),
            attributes=(*attributes, *marks),
            sources=(*(found.sources[name] for name in attributes), *(None for _ in marks)),
            job=job_field(mark.event),
            row_of=_taker([found.sources[name] for name in attributes], kept),
            key_of=_taker(key),
            key_of_message=key_reader(mark.event, key),
            cleared=tuple(found.attributes[name] for name in cleared),
            cleared_attributes=cleared,
            cleared_at=cleared_at,
        )

    def removes(self, event: Any) -> bool:
        """Whether the event's job is DELETE, or its row is none that the replica shall have; an event class that
        has no job only inserts and updates.

        Raises:
            PermanentError: it is none that is known, or `where` tells neither True nor False.
        """
        job = _UPDATE if self.job is None else getattr(event, self.job)
        if job is not _UPDATE and job is not _INSERT:
            is_delete = _JOBS.get(job if isinstance(job, str) else getattr(job, "value", job))
            if is_delete is None:
                raise PermanentError(f"jobType {job!r} is none of INSERT, UPDATE and DELETE")
            if is_delete:
                return True
        where = self.mark.where
        return where is not None and not _told(where(event))


def _told(fits: object) -> bool:
    if isinstance(fits, bool):
        return fits
    # A function that forgets to return would delete all that it sees.
    raise PermanentError(f"where= returned {type(fits).__name__}, neither True nor False")


def _taker(sources: Sequence[Source], constants: Row = ()) -> Callable[[Any], Row]:
    """Takes the values of an event; fields come first where there are functions."""
    fields = [source for source in sources if isinstance(source, str)]
    functions = [source for source in sources if not isinstance(source, str)]
    comes_first = not any(isinstance(source, str) for source in sources[len(fields) :])
    if len(fields) < 2 or not comes_first:
        takers: list[Callable[[Any], Any]] = [
            attrgetter(source) if isinstance(source, str) else source for source in sources
        ]
        return lambda event: (*[take(event) for take in takers], *constants)
    taken: Callable[[Any], Row] = attrgetter(*fields)
    if not functions and not constants:
        return taken
    return lambda event: (*taken(event), *[make(event) for make in functions], *constants)


def undeleted(column: Column[Any]) -> Any:
    """What a soft delete's column holds in a row that is not deleted."""
    return False if isinstance(column.type, Boolean) else None


def _deleted_at(column: Column[Any]) -> Callable[[int], Row]:
    if isinstance(column.type, Boolean):
        return lambda _: (True,)
    has_zone = bool(getattr(column.type, "timezone", False))

    def at(timestamp_ms: int) -> Row:
        try:
            moment = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
        except (ValueError, OverflowError, OSError):
            # Anyone may have written any number there: the row is deleted all the same.
            moment = _LAST if timestamp_ms > 0 else _FIRST
        return (moment if has_zone else moment.replace(tzinfo=None),)

    return at


def default_of(column: Column[Any]) -> Any:
    """What a column is put back to: its plain default, or null."""
    default: Any = column.default
    return default.arg if default is not None and default.is_scalar else None
