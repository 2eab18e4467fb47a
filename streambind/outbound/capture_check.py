"""What is wrong with published classes, found when the application is built."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from inspect import getattr_static
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import Mapper, Session, class_mapper

from streambind.configuration.code_origin import code_origin
from streambind.configuration.finding import Finding, Severity
from streambind.configuration.masking import shown_url
from streambind.configuration.names import did_you_mean
from streambind.configuration.properties import Publish
from streambind.outbound.capture_cascades import unseen_changes
from streambind.outbound.plans import Plans
from streambind.outbound.publication import Publication, publications_of
from streambind.outbound.published_tables import published_mappers
from streambind.persistence.database import Database

_MISSING = object()
_EXAMPLES = {"key": "key=lambda entity: entity.tenant", "build": "build=lambda entity, job_type: Changed(...)"}


def check(database: Database, plans: Plans, told: Collection[str] = ()) -> list[Finding]:
    """Everything that is wrong, class by class; then what the database would change without being seen. `told` are
    bindings of which it has been said already that they are missing."""
    findings = [_wrong(cls, text) for cls in plans.classes for text in _class_errors(cls, plans, told)]
    if not any(_unmapped(cls) for cls in plans.classes):
        mappers = published_mappers(plans)
        findings += [*_shared_tables(mappers), *_other_databases(database, mappers)]
        findings += [finding for mapper in mappers for finding in unseen_changes(mapper)]
    return findings


def _wrong(cls: type, text: str) -> Finding:
    return Finding(Severity.ERROR, text, code_origin(cls))


def _unmapped(cls: type) -> SQLAlchemyError | None:
    try:
        class_mapper(cls)
    except SQLAlchemyError as error:
        return error
    return None


def _class_errors(cls: type, plans: Plans, told: Collection[str]) -> Iterator[str]:
    if error := _unmapped(cls):
        yield f"{cls.__name__} is published, but SQLAlchemy does not map it: {error}"
        return
    for publication in publications_of(cls):
        yield from _publication_errors(cls, publication, plans, told)


def _publication_errors(cls: type, publication: Publication, plans: Plans, told: Collection[str]) -> Iterator[str]:
    output = plans.outputs.get(publication.binding)
    if output is None and publication.binding not in told:
        hint = did_you_mean(publication.binding, plans.outputs) or "."
        yield f"{cls.__name__} is published to {publication.binding}, which is not an output binding{hint}"
    elif output is not None and output.publish is Publish.DIRECT:
        yield (
            f"{cls.__name__} is published to {publication.binding}, whose producer.publish is direct: an entity's "
            "events leave with its transaction; set outbox or after-commit"
        )
    functions: dict[str, object] = {"key": publication.key, "build": publication.build}
    for argument, given in functions.items():
        if given is not None and not callable(given):
            yield (
                f"{cls.__name__} is published to {publication.binding} with {argument}={given!r}, which cannot be "
                f"called; write a function, such as {_EXAMPLES[argument]}"
            )
    for name in publication.fields:
        if getattr_static(cls, name, _MISSING) is _MISSING:  # The class itself need not be able to compute it.
            hint = did_you_mean(name, [n for n in dir(cls) if not n.startswith("_")]) or "."
            yield (
                f"event {publication.event.__name__} has the field {name!r}, but {cls.__name__} has no attribute "
                f"of that name{hint} To map names or to compute, use @publishes(..., build=...)"
            )


def _shared_tables(mappers: Sequence[Mapper[Any]]) -> Iterator[Finding]:
    seen: dict[Any, Mapper[Any]] = {}
    for mapper in mappers:
        other = seen.setdefault(mapper.local_table, mapper)
        if other.base_mapper is not mapper.base_mapper:
            yield _wrong(
                mapper.class_,
                f"{other.class_.__name__} and {mapper.class_.__name__} are both published and both mapped to "
                f"{mapper.local_table}: a change through one is no event of the other. Publish one class, twice "
                "if need be",
            )


def _other_databases(database: Database, mappers: Sequence[Mapper[Any]]) -> Iterator[Finding]:
    sessions: Any = database.sessions
    session: Session = sessions().sync_session if isinstance(sessions, async_sessionmaker) else sessions()
    for mapper in mappers:
        try:
            bound = session.get_bind(mapper)
        except SQLAlchemyError as error:
            name = mapper.class_.__name__
            yield _wrong(mapper.class_, f"{name} is published, but its database is unknown: {error}")
            continue
        engine = bound if isinstance(bound, Engine) else bound.engine
        if engine.pool is not database.engine.pool:
            yield _wrong(
                mapper.class_,
                f"{mapper.class_.__name__} is published and bound to {shown_url(engine.url)}, but streambind's "
                f"outbox is in {shown_url(database.engine.url)}: change and "
                "event can only commit together in one database",
            )
