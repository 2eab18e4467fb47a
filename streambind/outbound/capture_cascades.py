"""Changes of published rows that the database makes by itself: the ORM cannot see them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ForeignKeyConstraint, Table
from sqlalchemy.orm import Mapper, RelationshipProperty
from sqlalchemy.orm.interfaces import ONETOMANY

from streambind.configuration.code_origin import code_origin
from streambind.configuration.finding import Finding, Severity
from streambind.outbound.database_cascades import SETTING, deleting_constraints, on_delete
from streambind.outbound.publication import publications_of


def unseen_changes(mapper: Mapper[Any]) -> Iterator[Finding]:
    """What the database would delete or change of a published class without a statement on its table."""
    name = mapper.class_.__name__
    errors = [*_deletes(mapper), *_settings(mapper), *_relationship_errors(mapper)]
    place = code_origin(mapper.class_)
    yield from (Finding(Severity.ERROR, f"{name} is published, but {text}", place) for text in errors)
    for constraint in _outward(mapper):
        if (constraint.onupdate or "").upper() in ("CASCADE", *SETTING):
            yield Finding(
                Severity.WARNING,
                f"{name} is published, but its foreign key to {constraint.referred_table} is ON UPDATE "
                f"{constraint.onupdate}: a changed key there changes rows here without events",
                place,
            )


def _deletes(mapper: Mapper[Any]) -> Iterator[str]:
    for constraint in deleting_constraints([t for t in mapper.tables if isinstance(t, Table)]):
        parent, child = constraint.referred_table, constraint.table
        parts_of_one_row = parent is not child and any(
            {parent, child} <= set(m.tables) for m in mapper.registry.mappers
        )
        if parts_of_one_row or any(r.cascade.delete for r in _loading(mapper, constraint)):
            continue
        with_them = "" if child in mapper.tables else f", and its rows with those of {child}"
        yield (
            f"the foreign key of {child} to {parent} is ON DELETE CASCADE: the database would delete rows without "
            f"events{with_them}. Remove ON DELETE, or give the class of {parent} a relationship to them with "
            "cascade='all, delete-orphan' (and without passive_deletes), so that the session deletes them first"
        )


def _settings(mapper: Mapper[Any]) -> Iterator[str]:
    for constraint in _outward(mapper):
        if on_delete(constraint) in SETTING and not _loading(mapper, constraint):
            parent = constraint.referred_table
            if in_an_event(mapper, constraint):
                yield (
                    f"its foreign key to {parent} is ON DELETE {on_delete(constraint)}: the database would change "
                    f"rows without events. Remove ON DELETE, or give the class of {parent} a relationship to it, "
                    "so that the session changes them first"
                )


def _relationship_errors(mapper: Mapper[Any]) -> Iterator[str]:
    for relationship in _relationships(mapper):
        if relationship.secondary is not None and relationship.secondary in mapper.tables:
            yield (
                f"{relationship} writes its table as a secondary table, without objects and thus without events: "
                "relate to the class itself, or declare the relationship viewonly"
            )
        elif (
            relationship.direction is ONETOMANY
            and relationship.passive_deletes
            and relationship.mapper.common_parent(mapper)
        ):
            yield (
                f"{relationship} leaves deletes to the database (passive_deletes): their events would be missing. "
                "Remove passive_deletes, so that the session deletes the rows that it loads"
            )


def in_an_event(mapper: Mapper[Any], constraint: ForeignKeyConstraint) -> bool:
    """Whether an event may hold the foreign key."""
    names = {mapper.get_property_by_column(column).key for column in constraint.columns}
    return any(p.build is not None or names & set(p.fields) for p in publications_of(mapper.class_))


def _outward(mapper: Mapper[Any]) -> Iterator[ForeignKeyConstraint]:
    """Foreign keys from the class's tables, but for those that hold the parts of one row together."""
    for table in mapper.tables:
        if isinstance(table, Table):
            for constraint in sorted(table.foreign_key_constraints, key=lambda c: tuple(c.column_keys)):
                if constraint.referred_table is table or constraint.referred_table not in mapper.tables:
                    yield constraint


def _loading(mapper: Mapper[Any], constraint: ForeignKeyConstraint) -> list[RelationshipProperty[Any]]:
    """The relationships by which a session loads the rows of a foreign key before it deletes their target."""
    return [
        relationship
        for relationship in _relationships(mapper)
        if relationship.direction is ONETOMANY
        and not relationship.passive_deletes
        and set(constraint.columns) <= {remote for _, remote in relationship.synchronize_pairs}
    ]


def _relationships(mapper: Mapper[Any]) -> Iterator[RelationshipProperty[Any]]:
    """Every relationship that writes, of every class beside the mapper's."""
    for other in sorted(mapper.registry.mappers, key=lambda m: m.class_.__qualname__):
        for relationship in other.relationships:
            if relationship.parent is other and not relationship.viewonly:
                yield relationship
