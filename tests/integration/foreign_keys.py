"""Foreign keys that are looked at when a transaction commits, where the database can do that."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKeyConstraint
from sqlalchemy.ext.compiler import compiles


@compiles(ForeignKeyConstraint, "mysql", "mariadb")
def _never_deferred(constraint: ForeignKeyConstraint, compiler: Any, **options: Any) -> str:
    """InnoDB looks at them with every statement, and has no word for later."""
    return str(compiler.visit_foreign_key_constraint(constraint, **options)).partition(" DEFERRABLE")[0]
