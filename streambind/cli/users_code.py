"""Loading the application that a user names: what goes wrong in his code is shown to him, and only that."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import streambind
from streambind.application import StreamApplication
from streambind.errors import ConfigurationError, StreambindError
from streambind.persistence.failures import is_database_trouble

_FRAMES = 6


class UserCodeError(StreambindError):
    """The user's module or function raised; the text holds the frames of the user's own files."""


def load_application(text: str) -> StreamApplication:
    """Import `module:attribute`, an application or a function that makes one; the working folder is searched.
    Without an attribute `stream` is meant.

    Raises:
        ConfigurationError: no such module or attribute, it is something else, or the application is misconfigured.
        UserCodeError: the module or the function raises.
    """
    module_name, _, attribute = text.partition(":")
    module = _import(module_name)
    name = attribute or "stream"
    if not hasattr(module, name):
        raise ConfigurationError(f"module {module_name} has no attribute {name!r}{_hint(module, name)}")
    found = getattr(module, name)
    if callable(found) and not isinstance(found, StreamApplication):
        with _shown(f"{text} raised"):
            found = found()
    if not isinstance(found, StreamApplication):
        raise ConfigurationError(
            f"{text} is no StreamApplication but {type(found).__name__}; name one, or a function "
            f"that makes one{_hint(module, name)}"
        )
    if found.database is not None:
        found.database.command_target = text
    return found


def _import(name: str) -> ModuleType:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigurationError(f"{name!r} is no module; write package.module:attribute")
    try:
        with _shown(f"module {name} cannot be imported"):
            return importlib.import_module(name)
    except UserCodeError as error:
        cause = error.__cause__
        missing = cause.name if isinstance(cause, ModuleNotFoundError) else None
        if missing is None or not f"{name}.".startswith(f"{missing}."):
            raise
        raise ConfigurationError(
            f"no module {name!r} here; run the command from the folder that holds it, or install the package"
        ) from cause


@contextlib.contextmanager
def _shown(what: str) -> Iterator[None]:
    try:
        yield
    except StreambindError:
        raise
    except SystemExit as error:
        raise UserCodeError(f"{what}: it ended the process with exit code {error.code}") from error
    except Exception as error:
        if is_database_trouble(error):
            raise
        raise UserCodeError(f"{what}\n{_own_frames(error)}") from error


def _own_frames(error: Exception) -> str:
    """The traceback without the frames of Python, of installed packages and of streambind."""
    told = traceback.TracebackException.from_exception(error)
    own = [frame for frame in told.stack if not _is_foreign(frame.filename)]
    told.stack = traceback.StackSummary.from_list(own[-_FRAMES:])
    return "".join(told.format(chain=False)).rstrip()


def _is_foreign(file: str) -> bool:
    folders = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders.append(str(Path(streambind.__file__).parent))
    return file.startswith("<") or any(Path(file).is_relative_to(folder) for folder in folders)


def _hint(module: ModuleType, name: str) -> str:
    names = [key for key, value in vars(module).items() if isinstance(value, StreamApplication)]
    if names:
        return f"; its applications: {', '.join(names)}"
    near = difflib.get_close_matches(name, vars(module), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
