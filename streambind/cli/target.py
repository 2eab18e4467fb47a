"""What a command works on: a configuration folder or file, or an application `module:attribute`."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from streambind.application import StreamApplication
from streambind.binding.factory import BinderFactory, binder_types
from streambind.configuration import Configuration, load
from streambind.errors import ConfigurationError
from streambind.event_loop import EventLoop
from streambind.persistence.database import Database

PLACES = (".", "config")


@dataclass(frozen=True)
class Target:
    """A configuration and, where the target is code, the application built from it."""

    configuration: Configuration
    application: StreamApplication | None = None

    def binders(self) -> BinderFactory:
        return BinderFactory(self.configuration)

    def database(self) -> Database:
        """The application's database, or that of `streambind.datasource.url`.

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
        return Database.from_url(url, loop=EventLoop(), schema=datasource.table_schema)


def resolve(text: str | None) -> Target:
    """`sample_app.lecture.app:stream`, `config/lecture`, or None for ./application.yaml or ./config.

    Raises:
        ConfigurationError: nothing is there; the text says what was looked for.
    """
    if text is not None and ":" in text and not Path(text).exists():
        application = load_application(text)
        return Target(application.configuration, application)
    return Target(load(_location(text), binder_models=binder_types()))


def load_application(text: str) -> StreamApplication:
    """Import `module:attribute`, an application or a function that makes one; the working folder is searched.

    Raises:
        ConfigurationError: no such module or attribute, or it is something else.
    """
    module_name, _, attribute = text.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise
        raise ConfigurationError(
            f"no module {module_name!r} here; run the command from the folder that holds it, "
            "or install the package"
        ) from error
    found = getattr(module, attribute or "stream", None)
    if callable(found) and not isinstance(found, StreamApplication):
        found = found()
    if not isinstance(found, StreamApplication):
        raise ConfigurationError(
            f"{text} is no StreamApplication; write module:attribute, where the attribute is one "
            "or a function that makes one"
        )
    return found


def _location(text: str | None) -> Path:
    if text is not None:
        return Path(text)
    for place in PLACES:
        for name in ("application.yaml", "application.yml"):
            if (Path(place) / name).is_file():
                return Path(place)
    raise ConfigurationError(
        "no application.yaml here or in ./config; name a folder, a file or an application module:attribute"
    )
