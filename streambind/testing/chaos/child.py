"""The process of a service or writer in a chaos run: `python -m streambind.testing.chaos.child module:name
[file]`.

With a file, `name` is a function of that file's module, called without arguments; an application that it returns
is run. Without one, `name` is what `streambind run` takes. The process dies with the one that started it.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import logging
import os
import signal
import sys
from collections.abc import Callable

from streambind.application import StreamApplication

_PR_SET_PDEATHSIG = 1


def main() -> None:
    _die_with_parent()
    target, *file = sys.argv[1:]
    if not file:
        os.execv(sys.executable, [sys.executable, "-u", "-m", "streambind", "run", target])
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    made = _function(target, file[0])()
    if isinstance(made, StreamApplication):
        made.run()


def _function(target: str, file: str) -> Callable[[], object]:
    """From its module, or from its file if the module cannot be imported by name, as with tests."""
    module, _, name = target.partition(":")
    with contextlib.suppress(ImportError):
        found = importlib.import_module(module)
        if getattr(found, "__file__", None) == file:
            function: Callable[[], object] = getattr(found, name)
            return function
    spec = importlib.util.spec_from_file_location(module, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[module] = loaded
    spec.loader.exec_module(loaded)
    loaded_function: Callable[[], object] = getattr(loaded, name)
    return loaded_function


def _die_with_parent() -> None:
    """Also if that one is killed. On Linux; elsewhere the end of the test run ends its processes."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
