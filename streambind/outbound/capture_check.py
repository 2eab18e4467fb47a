"""What is wrong with published classes, found when the application is built."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import class_mapper

from streambind.configuration.finding import Finding, Severity
from streambind.configuration.names import did_you_mean
from streambind.configuration.properties import Publish
from streambind.outbound.plans import Plans
from streambind.outbound.publication import Publication, publications_of
from streambind.persistence.database import Database


def check(database: Database, plans: Plans) -> list[Finding]:
    """Findings about every publication of every class, in their order."""
    return [Finding(Severity.ERROR, text) for cls in plans.classes for text in _class_errors(cls, plans)]


def _class_errors(cls: type, plans: Plans) -> Iterator[str]:
    try:
        class_mapper(cls)
    except SQLAlchemyError as error:
        yield f"{cls.__name__} is published, but SQLAlchemy cannot map it: {error}"
        return
    for publication in publications_of(cls):
        yield from _publication_errors(cls, publication, plans)


def _publication_errors(cls: type, publication: Publication, plans: Plans) -> Iterator[str]:
    output = plans.outputs.get(publication.binding)
    if output is None:
        yield f"{cls.__name__} is published to {publication.binding}, which is not an output binding"
    elif output.publish is Publish.DIRECT:
        yield (
            f"{cls.__name__} is published to {publication.binding}, whose producer.publish is direct: an entity's "
            "events leave with its transaction; set outbox or after-commit"
        )
    for name in publication.fields:
        if not hasattr(cls, name):
            hint = did_you_mean(name, [n for n in dir(cls) if not n.startswith("_")]) or "."
            yield (
                f"event {publication.event.__name__} has the field {name!r}, but {cls.__name__} has no attribute "
                f"of that name{hint} To map names or to compute, use @publishes(..., build=...)"
            )
