"""Applications made inside a test: configuration in the test itself, a database of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from sqlalchemy import MetaData, create_engine
from sqlalchemy.orm import sessionmaker

from streambind.application import StreamApplication
from streambind.message import Message
from streambind.persistence.database import AnySessions


class Applications:
    """What the fixture `stream_application` returns: call it to make one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[StreamApplication] = []

    def __call__(
        self,
        configuration: str | Path,
        *,
        include: Iterable[object] = (),
        database: AnySessions | None = None,
        metadata: MetaData | None = None,
        on_publish_error: Callable[[Message, Exception], None] | None = None,
    ) -> StreamApplication:
        """An application that is not started. `configuration` is YAML text, or the path of a file or folder.

        Without `database` it gets a sessionmaker (`application.sessions`) on an SQLite file of its own; with
        `metadata`, those tables are made in it.

        Raises:
            ConfigurationError: with every finding.
        """
        number = len(self._made) + 1
        location = configuration
        if isinstance(configuration, str) and "\n" in configuration:
            location = self._folder / f"application-{number}.yaml"
            location.write_text(configuration, encoding="utf-8")
        if database is None:
            engine = create_engine(f"sqlite:///{self._folder / f'application-{number}.db'}")
            database = sessionmaker(engine)
        application = StreamApplication(
            location, database=database, include=include, arguments=(), on_publish_error=on_publish_error
        )
        self._made.append(application)
        if metadata is not None:
            metadata.create_all(application.engine)
        return application

    def close(self) -> None:
        """Stop what still runs and close connections to the databases made here."""
        for application in self._made:
            application.stop()
            if application.database is not None and not application.database.is_async:
                application.database.dispose()
