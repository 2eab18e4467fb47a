"""Changes of published rows that the database makes by itself: the ORM cannot see them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ForeignKeyConstraint, Table
from sqlalchemy.orm import Mapper, RelationshipProperty
from sqlalchemy.orm.interfaces import ONETOMANY

from streambind.configuration.finding import Finding, Severity
from streambind.outbound.publication import publications_of


def unseen_changes(mapper: Mapper[Any]) -> Iterator[Finding]:
    """What the database would delete or change of a published class without a statement on its table."""
    name = mapper.class_.__name__
    for constraint in _constraints(mapper):
        text = _unseen_by(mapper, constraint)
        if text is not None:
            yield Finding(Severity.ERROR, f"{name} is published, but {text}")
        if (constraint.onupdate or "").upper() in ("CASCADE", "SET NULL", "SET DEFAULT"):
            yield Finding(
                Severity.WARNING,
                f"{name} is published, but its foreign key to {constraint.referred_table} is ON UPDATE "
                f"{constraint.onupdate}: a changed key there changes rows here without events",
            )
    for relationship in _relationships(mapper):
        if relationship.secondary is not None and relationship.secondary in mapper.tables:
            yield Finding(
                Severity.ERROR,
                f"{name} is published, but {relationship} writes its table as a secondary table, without objects "
                f"and thus without events: relate to {name} itself, or declare the relationship viewonly",
            )
        elif relationship.direction is ONETOMANY and relationship.passive_deletes:
            yield Finding(
                Severity.ERROR,
                f"{name} is published, but {relationship} leaves deletes to the database (passive_deletes): their "
                "events would be missing. Remove passive_deletes, so that the session deletes the rows it loads",
            )


def _constraints(mapper: Mapper[Any]) -> Iterator[ForeignKeyConstraint]:
    """Foreign keys of the class's own tables, those between them aside (the parts of one row)."""
    for table in mapper.tables:
        if isinstance(table, Table):
            for constraint in sorted(table.foreign_key_constraints, key=lambda c: tuple(c.column_keys)):
                other = constraint.referred_table
                if other is table or other not in mapper.tables:
                    yield constraint


def _unseen_by(mapper: Mapper[Any], constraint: ForeignKeyConstraint) -> str | None:
    action, parent = (constraint.ondelete or "").upper(), constraint.referred_table
    if action not in ("CASCADE", "SET NULL", "SET DEFAULT"):
        return None
    loads = [r for r in _relationships(mapper) if _follows(r, constraint) and not r.passive_deletes]
    if action == "CASCADE":
        if any(r.cascade.delete for r in loads):
            return None
        return (
            f"its foreign key to {parent} is ON DELETE CASCADE: the database would delete rows without events. "
            f"Remove ON DELETE, or give the class of {parent} a relationship to it with cascade='all, "
            "delete-orphan' (and without passive_deletes), so that the session deletes the rows first"
        )
    if loads or not _is_published(mapper, constraint):
        return None
    return (
        f"its foreign key to {parent} is ON DELETE {action}: the database would change rows without events. "
        f"Remove ON DELETE, or give the class of {parent} a relationship to it, so that the session changes the "
        "rows first"
    )


def _is_published(mapper: Mapper[Any], constraint: ForeignKeyConstraint) -> bool:
    """Whether an event may hold the foreign key."""
    names = {mapper.get_property_by_column(column).key for column in constraint.columns}
    publications = publications_of(mapper.class_)
    return any(p.build is not None or names & set(p.fields) for p in publications)


def _follows(relationship: RelationshipProperty[Any], constraint: ForeignKeyConstraint) -> bool:
    """Whether a relationship goes from the parent to its children by this foreign key."""
    return relationship.direction is ONETOMANY and set(constraint.columns) <= {
        remote for _, remote in relationship.synchronize_pairs
    }


def _relationships(mapper: Mapper[Any]) -> Iterator[RelationshipProperty[Any]]:
    """Every relationship by which some class could write the mapper's rows."""
    mappers = sorted(mapper.registry.mappers, key=lambda m: m.class_.__qualname__)
    for other in mappers:
        for relationship in other.relationships:
            if relationship.parent is other and not relationship.viewonly:
                target = relationship.mapper
                if relationship.secondary is not None or target.common_parent(mapper):
                    yield relationship
