"""The database of an application as its own code asks for it: there it is, and of the kind that is asked for."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

from streambind.errors import ConfigurationError
from streambind.persistence.database import Database


def required(database: Database | None) -> Database:
    """
    Raises:
        ConfigurationError: there is none.
    """
    if database is None:
        raise ConfigurationError(
            "this application has no database: set streambind.datasource.url, "
            "or write StreamApplication(..., database=Sessions)"
        )
    return database


def synchronous_sessions(database: Database | None) -> sessionmaker[Session]:
    """
    Raises:
        ConfigurationError: there is no database, or an asynchronous one.
    """
    sessions = required(database).sessions
    if not isinstance(sessions, sessionmaker):
        raise ConfigurationError("this application's database is asynchronous: use async_sessions")
    return sessions


def asynchronous_sessions(database: Database | None) -> async_sessionmaker[Any]:
    """
    Raises:
        ConfigurationError: there is no database, or a synchronous one.
    """
    sessions = required(database).sessions
    if not isinstance(sessions, async_sessionmaker):
        raise ConfigurationError("this application's database is synchronous: use sessions")
    return sessions
