"""Which deletes make the database delete or change further rows by itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlalchemy import ForeignKeyConstraint, Table

SETTING = ("SET NULL", "SET DEFAULT")


def on_delete(constraint: ForeignKeyConstraint) -> str:
    """What the database does to the rows of a foreign key when the row that they point to is deleted."""
    return (constraint.ondelete or "").upper()


def deleting_constraints(tables: Collection[Table]) -> Iterator[ForeignKeyConstraint]:
    """The foreign keys by which rows of these tables go away with rows of others, and those with rows of further
    ones. Foreign keys between the tables do not count: they hold the parts of one row together."""
    seen, waiting = set(tables), list(tables)
    while waiting:
        table = waiting.pop(0)
        for constraint in sorted(table.foreign_key_constraints, key=lambda c: tuple(c.column_keys)):
            parent = constraint.referred_table
            one_row = parent in tables and parent is not table and table in tables
            if one_row or on_delete(constraint) != "CASCADE":
                continue
            yield constraint
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
