"""Replicas of tables that others have something to do with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import FromClause
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapper, class_mapper

from streambind.application.declarations import Declarations
from streambind.configuration import Finding, Severity
from streambind.configuration.code_origin import code_origin
from streambind.inbound.input import InputPlan
from streambind.inbound.replica_rivals import rivals_of
from streambind.outbound.publication import publications_of


def replica_clashes(declarations: Declarations, inputs: Mapping[str, InputPlan]) -> Iterator[Finding]:
    """Replicas into tables that another class publishes, as what they write would be no event of it; and those
    that fill the same columns."""
    yield from _unpublished(declarations, inputs)
    yield from _rivals(inputs)


def _unpublished(declarations: Declarations, inputs: Mapping[str, InputPlan]) -> Iterator[Finding]:
    published = dict(_published(declarations))
    for plan in inputs.values():
        for replica in plan.replicas:
            cls, publisher = replica.mark.declared_on, published.get(replica.table)
            if publisher is not None and not publications_of(cls):
                name = publisher.__qualname__
                text = (
                    f"replica {cls.__qualname__}: its table {replica.table} is published by {name}, which would "
                    f"not see its changes; put @replicates on {name}"
                )
                yield Finding(Severity.ERROR, text, code_origin(cls))


def _rivals(inputs: Mapping[str, InputPlan]) -> Iterator[Finding]:
    for binding, plan in inputs.items():
        for replica in plan.replicas:
            cls = replica.mark.declared_on
            if rivals := sorted(each for each in rivals_of(replica.mark) if each in inputs and each > binding):
                text = (
                    f"replica {cls.__qualname__}: {', '.join(rivals)} fills columns that {binding} fills too: "
                    "whose a row is cannot be told, so `streambind replica repair` deletes none; say with owns= "
                    "which columns are whose, if they are"
                )
                yield Finding(Severity.WARNING, text, code_origin(cls))


def _published(declarations: Declarations) -> Iterator[tuple[FromClause, type]]:
    for publication in declarations.publications:
        try:
            mapper: Mapper[object] = class_mapper(publication.declared_on)
        except SQLAlchemyError:
            continue  # Which is a finding already.
        for each in mapper.self_and_descendants:
            yield from ((table, publication.declared_on) for table in each.tables)
