"""What happens to a change of a published class, worked out once per mapper."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError
from sqlalchemy import Column
from sqlalchemy.orm import Mapper, class_mapper
from sqlalchemy.orm.exc import DetachedInstanceError

from streambind.configuration.names import did_you_mean
from streambind.errors import CaptureError, StreambindError, UncapturedChangeError
from streambind.event import JobType
from streambind.outbound.as_stored import as_stored
from streambind.outbound.attributes import Attributes
from streambind.outbound.keys import key_bytes, primary_key_bytes
from streambind.outbound.outgoing import Outgoing, OutputPlan, outgoing, type_name
from streambind.outbound.publication import Publication, publications_of


class Change(NamedTuple):
    """One change of a row. `before` is the entity as it was, given where an update may have changed the key;
    `stored` is what the row holds otherwise than the entity, by attribute."""

    job: JobType
    entity: Any
    before: Any | None = None
    stored: Mapping[str, Any] | None = None


class PublicationPlan:
    """One publication of one mapper, tied to its output."""

    def __init__(self, publication: Publication, mapper: Mapper[Any], output: OutputPlan) -> None:
        self.publication = publication
        self.output = output
        self._class_name = mapper.class_.__name__
        self._fields = Attributes(mapper, publication.fields)
        self._primary_key = Attributes(mapper, primary_key_names(mapper))
        self.has_own_key = publication.key is not None or output.key_of is not None

    def messages(self, change: Change, ids: Iterator[str]) -> list[Outgoing]:
        """The messages of a change, with the next of these event ids: none if `build` leaves it out, two for a
        changed key or primary key (DELETE of the old one, INSERT of the new one) or for a delete that is sent as
        event and tombstone.

        Raises:
            CaptureError: event or key cannot be made.
            EncodeError: the event cannot be encoded, or is too large.
        """
        job, entity, before, _ = change
        if before is None or not self.moved(before, entity):
            return self._messages(job, entity, ids)
        return [*self._messages(JobType.DELETE, before, ids), *self._messages(JobType.INSERT, entity, ids)]

    def moved(self, before: Any, entity: Any) -> bool:
        """Whether it is another entity to a consumer now: a coarser key may be the same when the primary key is
        not.

        Raises:
            CaptureError: a key cannot be taken.
        """
        of_row = self._primary_key.of(before) != self._primary_key.of(entity)
        return of_row or (self.has_own_key and self.key(before) != self.key(entity))

    def _messages(self, job: JobType, entity: Any, ids: Iterator[str]) -> list[Outgoing]:
        payload = self._payload(job, entity)
        if payload is None:
            return []
        key, output = self.key(entity), self.output
        deletes = output.deletes if job is JobType.DELETE else "event"
        messages: list[Outgoing] = []
        if deletes != "tombstone":
            messages.append(outgoing(output, payload, key=key, event_id=next(ids)))
        if deletes != "event":
            if key is None:
                raise CaptureError(
                    f"{self._class_name} has no key for binding {output.binding}, and a tombstone needs one: "
                    "set producer.deletes: event there, or let key= return one"
                )
            messages.append(outgoing(output, None, key=key, type_=type_name(payload), event_id=next(ids)))
        return messages

    def _payload(self, job: JobType, entity: Any) -> object | None:
        publication = self.publication
        try:
            if publication.build is not None:
                return publication.build(entity, job)
            return publication.event(job_type=job, **self._fields.of(entity))
        except Exception as error:
            raise self._failed(f"make {publication.event.__name__} ({job}) of", error) from error

    def key(self, entity: Any) -> bytes | None:
        """
        Raises:
            CaptureError: the key cannot be taken, or is too long.
        """
        key_of = self.publication.key
        if key_of is None and self.output.key_of is not None:
            payload = self._payload(JobType.UPDATE, entity)
            return None if payload is None else outgoing(self.output, payload, key=None).key
        try:
            if key_of is None:
                return primary_key_bytes(list(self._primary_key.of(entity).values()))
            return key_bytes(key_of(entity))
        except Exception as error:
            raise self._failed("take the key of", error) from error

    def _failed(self, what: str, error: Exception) -> StreambindError:
        where = f"cannot {what} {self._class_name} for binding {self.output.binding}: "
        if isinstance(error, DetachedInstanceError):
            return CaptureError(
                f"{where}it needs what the changed row itself does not hold ({error}). A bulk statement and an "
                "old version have columns only: load the objects and change them one by one, or read columns only"
            )
        if isinstance(error, ValidationError):
            # Without the values: they may be anyone's data.
            details = error.errors(include_url=False, include_context=False, include_input=False)
            return CaptureError(where + "; ".join(f"{'.'.join(map(str, d['loc']))}: {d['msg']}" for d in details))
        return CaptureError(f"{where}{type(error).__name__}: {error}")


class MapperPlan:
    """All publications of one mapper. `columns` are the names of its stored attributes, `needed` those that events
    and keys may ask for, `told` those of them that are not the primary key."""

    def __init__(self, mapper: Mapper[Any], publications: tuple[PublicationPlan, ...]) -> None:
        self.mapper = mapper
        self.publications = publications
        self.columns = frozenset(stored_names(mapper))
        self.primary_key = primary_key_names(mapper)
        self.own_keys = any(p.has_own_key for p in publications)
        fields = {name for p in publications for name in p.publication.fields} | set(self.primary_key)
        # What else than a column is computed of columns that nobody names.
        whole = self.own_keys or any(p.publication.build is not None for p in publications)
        self.needed = self.columns if whole or fields - self.columns else self.columns & fields
        self.told = self.needed - set(self.primary_key)
        self._eager = self.told - {name for name in deferred_names(mapper) if name not in fields}
        self._left_alone = self.told - touched_names(mapper)

    def messages(self, change: Change, ids: Iterator[str]) -> list[Outgoing]:
        """The messages of a change, in the order of the publications, with the next of these event ids."""
        if change.stored:
            with as_stored(change.entity, change.stored):
                return self._messages(change, ids)
        return self._messages(change, ids)

    def _messages(self, change: Change, ids: Iterator[str]) -> list[Outgoing]:
        if len(self.publications) == 1:
            return self.publications[0].messages(change, ids)
        return [message for each in self.publications for message in each.messages(change, ids)]

    def missing(self, held: Collection[str], *, deferred: bool) -> frozenset[str]:
        """The attributes that events need and an entity does not hold; with `deferred` also those that its class
        loads only when they are asked for, by a `build` perhaps."""
        return (self.told if deferred else self._eager).difference(held)

    def left_alone(self, held: Collection[str], written: Collection[str]) -> frozenset[str]:
        """The attributes that events need and an entity holds, but that an UPDATE of these others did not set."""
        return self._left_alone.intersection(held).difference(written)

    def moves(self, before: Any, entity: Any) -> bool:
        """Whether an event may go out under another key than the one before; if it cannot be told yet, it may."""
        try:
            return any(p.moved(before, entity) for p in self.publications)
        except StreambindError:
            return True


class Plans:
    """The plans of an application: its published classes and its outputs. Plans of a mapper are made when they
    are first asked for, so that a subclass may be mapped later."""

    def __init__(self, classes: Iterable[type], outputs: Mapping[str, OutputPlan]) -> None:
        self.classes = tuple(dict.fromkeys(classes))
        self.outputs = outputs
        self._plans: dict[Mapper[Any], MapperPlan] = {}

    def of(self, mapper: Mapper[Any]) -> MapperPlan:
        """
        Raises:
            UncapturedChangeError: the class is published, but not by this application.
            CaptureError: it is published to a binding that this application does not have.
        """
        found = self._plans.get(mapper)
        if found is None:
            publications = publications_of(mapper.class_)
            found = MapperPlan(mapper, tuple(self._publication(p, mapper) for p in publications))
            self._plans[mapper] = found
        return found

    def _publication(self, publication: Publication, mapper: Mapper[Any]) -> PublicationPlan:
        if publication.declared_on not in self.classes:
            raise UncapturedChangeError(
                f"{mapper.class_.__name__} is published to {publication.binding} by "
                f"{publication.declared_on.__module__}.{publication.declared_on.__name__}, which is not part of "
                "this application: add its module to StreamApplication(include=[...])"
            )
        return PublicationPlan(publication, mapper, self.output(publication.binding))

    def any_mapper(self) -> Mapper[Any] | None:
        """A published mapper, to find the database of a message that no entity is behind."""
        return class_mapper(self.classes[0]) if self.classes else None

    def output(self, binding: str) -> OutputPlan:
        """
        Raises:
            CaptureError: the application has no such output.
        """
        found = self.outputs.get(binding)
        if found is None:
            known = ", ".join(sorted(self.outputs)) or "none"
            hint = did_you_mean(binding, self.outputs) or "."
            raise CaptureError(f"there is no output binding {binding!r}{hint} Configured are: {known}")
        return found


def stored_names(mapper: Mapper[Any]) -> Iterator[str]:
    """The names of the attributes that are columns of the mapper's own tables."""
    for attribute in mapper.column_attrs:
        column = attribute.columns[0]
        if isinstance(column, Column) and column.table in mapper.tables:
            yield attribute.key


def primary_key_names(mapper: Mapper[Any]) -> tuple[str, ...]:
    """The names of the attributes that make up the primary key."""
    return tuple(mapper.get_property_by_column(column).key for column in mapper.primary_key)


def deferred_names(mapper: Mapper[Any]) -> Iterator[str]:
    """The names of the attributes that are loaded when they are asked for."""
    return (attribute.key for attribute in mapper.column_attrs if attribute.deferred)


def touched_names(mapper: Mapper[Any]) -> set[str]:
    """The names of the attributes that every UPDATE of a row sets: none with several tables, of which it may write
    one."""
    if len(mapper.tables) > 1:
        return set()
    return {name for name in stored_names(mapper) if mapper.attrs[name].columns[0].onupdate is not None}
