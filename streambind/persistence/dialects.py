"""The databases that streambind knows."""

from __future__ import annotations

from collections.abc import Mapping

from streambind.errors import ConfigurationError
from streambind.persistence.dialect import Dialect
from streambind.persistence.mysql import MySQL
from streambind.persistence.postgresql import PostgreSQL
from streambind.persistence.sqlite import SQLite

_MYSQL = MySQL()

DIALECTS: Mapping[str, Dialect] = {
    "mariadb": _MYSQL,
    "mysql": _MYSQL,
    "postgresql": PostgreSQL(),
    "sqlite": SQLite(),
}
"""By SQLAlchemy's names, of which MariaDB has two."""


def dialect_of(name: str) -> Dialect:
    """The dialect for SQLAlchemy's dialect name.

    Raises:
        ConfigurationError: streambind does not know the database.
    """
    dialect = DIALECTS.get(name)
    if dialect is None:
        *others, last = sorted(DIALECTS)
        raise ConfigurationError(
            f"streambind keeps its tables in {', '.join(others)} and {last}, not yet in {name}"
        )
    return dialect
