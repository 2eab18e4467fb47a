"""The databases that integration tests run on, by SQLAlchemy's names of drivers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

_MARKS = {"postgresql": pytest.mark.postgres, "mysql": pytest.mark.mariadb, "mariadb": pytest.mark.mariadb}
_FIXTURES = {"postgresql": "postgres_url", "mysql": "mariadb_url", "mariadb": "mariadb_url"}


def drivers(*names: str) -> list[Any]:
    """Parameters of a fixture, marked by the servers that they need."""
    return [pytest.param(name, marks=_MARKS.get(_kind(name), ())) for name in names]


def url_of(driver: str, request: pytest.FixtureRequest, directory: Path) -> str:
    """The URL of an empty database of the test's own."""
    if driver.startswith("sqlite"):
        return f"{driver}:///{directory / 'service.db'}"
    return through(driver, request.getfixturevalue(_FIXTURES[_kind(driver)]))


def through(driver: str, url: str) -> str:
    """The same database, by another driver."""
    return make_url(url).set(drivername=driver).render_as_string(hide_password=False)


def _kind(driver: str) -> str:
    return driver.partition("+")[0]
