"""What a command works on: a configuration folder or file, or an application `module:attribute`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click
from sqlalchemy import Connection

from streambind.application import StreamApplication
from streambind.binding.binder import Binder
from streambind.binding.factory import BinderFactory, binder_types
from streambind.cli.users_code import load_application
from streambind.configuration import Configuration, load
from streambind.configuration.masking import shown_url
from streambind.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    DatabaseUnavailableError,
    SchemaError,
)
from streambind.event_loop import EventLoop
from streambind.persistence.database import Database
from streambind.persistence.failures import describe, is_database_trouble
from streambind.persistence.schema import check_tables, remedy

BROKER_TIMEOUT_MS = 5000
CLOSE_TIMEOUT_MS = 1000

T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """A configuration and, where the target is code, the application built from it; `text` as it was named."""

    configuration: Configuration
    application: StreamApplication | None = None
    text: str | None = None

    @property
    def has_database(self) -> bool:
        built_in = self.application is not None and self.application.database is not None
        return built_in or self.configuration.properties.datasource.url is not None

    def database(self) -> Database:
        """The application's database, or that of `streambind.datasource.url`, whose connections are closed when
        the command ends.

        Raises:
            ConfigurationError: there is none.
        """
        if self.application is not None and self.application.database is not None:
            return self.application.database
        datasource = self.configuration.properties.datasource
        if datasource.url is None:
            raise ConfigurationError(
                "no database: set streambind.datasource.url in the configuration, "
                "or name the application as module:attribute"
            )
        url = datasource.url.get_secret_value()
        try:
            database = Database.from_url(url, loop=EventLoop(), schema=datasource.table_schema)
        except ConfigurationError as error:
            place = self.configuration.origin_of("datasource.url")
            raise ConfigurationError(f"{place}: {error}") from error
        database.command_target = self.text or ""
        command = click.get_current_context(silent=True)
        if command is not None:
            command.call_on_close(database.dispose)
        return database

    @contextlib.contextmanager
    def brokers(self) -> Iterator[Brokers]:
        """The configured brokers, for the length of the block."""
        self.configuration.require_valid()
        factory = BinderFactory(self.configuration)
        try:
            yield Brokers(self.configuration, factory)
        finally:
            factory.close(CLOSE_TIMEOUT_MS)

    def lasting_brokers(self) -> Brokers:
        """The configured brokers, for as long as the command runs."""
        factory = BinderFactory(self.configuration)
        click.get_current_context().call_on_close(lambda: factory.close(CLOSE_TIMEOUT_MS))
        return Brokers(self.configuration, factory)


@dataclass(frozen=True)
class Brokers:
    """Asks the brokers of a configuration; one that is away is named in the error."""

    configuration: Configuration
    factory: BinderFactory

    def ask(self, binder: str, question: Callable[[Binder], T]) -> T:
        """
        Raises:
            BrokerUnavailableError: no answer in time.
        """
        with self.named(binder):
            return question(self.factory.binder(binder))

    def named(self, binder: str) -> contextlib.AbstractContextManager[None]:
        """Errors inside of the block say which broker does not answer."""
        addresses = getattr(self.configuration.binder(binder).properties, "brokers", None)
        return broker_named(_joined(addresses) or binder)


@contextlib.contextmanager
def broker_named(address: str) -> Iterator[None]:
    """Say in the error which broker does not answer."""
    try:
        yield
    except BrokerUnavailableError as error:
        raise BrokerUnavailableError(f"the broker {address} does not answer: {error}") from error


def _joined(addresses: object) -> str:
    return ",".join(addresses) if isinstance(addresses, list | tuple) else str(addresses or "")


def ask_database(database: Database, question: Callable[[], T]) -> T:
    """An answer of a database that holds streambind's tables.

    Raises:
        DatabaseUnavailableError: it is away.
        SchemaError: the tables are missing or of another version.
    """
    _require_file(database)

    def check(connection: Connection) -> None:
        check_tables(connection, database)

    with database_named(database):
        database.run(check)
        return question()


@contextlib.contextmanager
def database_named(database: Database) -> Iterator[None]:
    """Say in the error which database does not answer, without its password."""
    try:
        yield
    except Exception as error:
        if not is_database_trouble(error):
            raise
        raise DatabaseUnavailableError(
            f"the database {shown_url(database.engine.url)} does not answer: {describe(error)}"
        ) from error


def _require_file(database: Database) -> None:
    """Asking SQLite for a file that is not there would make it."""
    file = database.engine.url.database
    memory = not file or ":memory:" in file or file.startswith("file:")
    if database.dialect.name == "sqlite" and not memory and not Path(str(file)).exists():
        where = "" if Path(str(file)).is_absolute() else f" in {Path.cwd()}"
        raise SchemaError(f"there is no database {file}{where}: {remedy(database)}")


def resolve(text: str | None) -> Target:
    """`sample_app.lecture.app:stream`, `config/lecture`, or None for ./application.yaml or ./config.

    Raises:
        ConfigurationError: nothing is there; the text says what was looked for.
        UserCodeError: the application's module raises.
    """
    if text is not None and names_code(text):
        application = load_application(text)
        return Target(application.configuration, application)
    return Target(load(location_of(text), binder_models=binder_types()), text=text)


def names_code(text: str) -> bool:
    """Whether a target is an application, `module:attribute`."""
    return ":" in text and not Path(text).exists()


def has_configuration() -> bool:
    """Whether there is a configuration where one is looked for when none is named."""
    return _here() is not None


def _here() -> Path | None:
    for place in (Path(), Path("config")):
        if any((place / f"application.{ending}").is_file() for ending in ("yaml", "yml")):
            return place
    return None


def location_of(text: str | None) -> Path:
    """The configuration that a target names, or that is here.

    Raises:
        ConfigurationError: nothing is there; the text says what was looked for.
    """
    if text is None:
        here = _here()
        if here is None:
            raise ConfigurationError(
                "no application.yaml here or in ./config; name a folder, a file or an application module:attribute"
            )
        return here
    if not Path(text).exists():
        raise ConfigurationError(
            f"no configuration at {text}: there is no such file or folder "
            "(an application is named module:attribute)"
        )
    return Path(text)
