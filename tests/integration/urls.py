"""The databases that integration tests run on, by SQLAlchemy's names of drivers.

`mysql+...` and `mariadb+...` are MariaDB, by either of the names that it has; `mysql8+...` is MySQL.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

_SERVERS = {"postgresql": "postgres", "mysql": "mariadb", "mariadb": "mariadb", "mysql8": "mysql"}


def drivers(*names: str) -> list[Any]:
    """Parameters of a fixture, marked by the servers that they need."""
    return [pytest.param(name, marks=_marks(name)) for name in names]


def url_of(driver: str, request: pytest.FixtureRequest, directory: Path) -> str:
    """The URL of an empty database of the test's own."""
    if driver.startswith("sqlite"):
        return f"{driver}:///{directory / 'service.db'}"
    return through(driver, request.getfixturevalue(f"{server_of(driver)}_url"))


def server_of(driver: str) -> str:
    """The fixture of the server that a driver's name stands for."""
    return _SERVERS[_kind(driver)]


def through(driver: str, url: str) -> str:
    """The same database, by another driver. MySQL has one name only."""
    made, (kind, _, module) = make_url(url), driver.partition("+")
    name = f"mysql+{module}" if kind == "mysql8" or made.get_backend_name() == "mysql" else driver
    return made.set(drivername=name).render_as_string(hide_password=False)


def _marks(driver: str) -> Any:
    kind = _kind(driver)
    return getattr(pytest.mark, _SERVERS[kind]) if kind in _SERVERS else ()


def _kind(driver: str) -> str:
    return driver.partition("+")[0]
