"""What the servers of the tests have in common: a directory, a life, and an address that outlives it."""

from __future__ import annotations

import shutil
import signal
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from tests.services.process import (
    ServerProcess,
    at_exit_of_this_process,
    make_directory,
    run_directory,
    sweep,
)


class Server(ABC):
    """A server in a directory of its own. Its address and its data outlive its end and `restart()`.

    Without a directory it belongs to this Python process and is discarded at its exit. It runs as `user`, None: as
    this process does.
    """

    user: str | None = None

    def __init__(self, directory: Path | None = None, *, preferred_port: int | None = None) -> None:
        self._belongs_to_this_process = directory is None
        self._directory = directory
        self._preferred_port = preferred_port
        self._process: ServerProcess | None = None

    @classmethod
    def at(cls, directory: Path) -> Self | None:
        """The running server that another process started in `directory`, None if there is none."""
        server = cls(directory)
        server._process = ServerProcess(directory)
        return server if server.is_running() and (directory / "ready").exists() else None

    @staticmethod
    @abstractmethod
    def install() -> None:
        """Make sure that there is something to run.

        Raises:
            ServiceUnavailable: it cannot be had on this machine.
        """

    def start(self) -> str:
        """Start the server on empty storage and return its `address` when it serves.

        Raises:
            ServiceUnavailable: it cannot be had on this machine.
            RuntimeError: it does not come up; with the end of its log.
        """
        self.install()
        root = self._root()
        sweep(root)
        if self._directory is None:
            self._directory = run_directory(root, self.user)
        else:
            ServerProcess(self._directory).kill()
            make_directory(self._directory, self.user)
        if self._belongs_to_this_process:
            at_exit_of_this_process(self.discard)
        self._process = ServerProcess(self._directory)
        self._prepare(self._directory)
        self._launch()
        (self._directory / "ready").touch()
        return self.address

    @property
    @abstractmethod
    def address(self) -> str:
        """What clients connect to: `host:port`, or a SQLAlchemy URL."""

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._server.log

    def is_running(self) -> bool:
        return self._process is not None and self._process.is_running()

    @abstractmethod
    def stop(self) -> None:
        """Shut the server down in order; its data stays."""

    def restart(self) -> None:
        """Start again on the same address with the same data, however it ended."""
        if self.is_running():
            self.stop()
        self._launch()

    def discard(self) -> None:
        """End the server, if it runs, and delete its data. May be called more than once."""
        if self._process is not None:
            if self._process.is_running():
                self._end_at_once()
            shutil.rmtree(self._process.directory, ignore_errors=True)

    @property
    def _server(self) -> ServerProcess:
        if self._process is None:
            raise RuntimeError("the server was never started; call start() first")
        return self._process

    @property
    def _port(self) -> int:
        return int((self._server.directory / "port").read_text())

    def _end(self, number: signal.Signals) -> None:
        """Send a signal on which it ends by itself; end it if it does not."""
        self._server.signal(number)
        if not self._server.wait_until_gone(20):
            self._server.kill()

    def _end_at_once(self) -> None:
        self._server.kill()

    @abstractmethod
    def _root(self) -> Path:
        """Where the directories of such servers are."""

    @abstractmethod
    def _prepare(self, directory: Path) -> None:
        """Make its storage, and write its port to the file `port`."""

    @abstractmethod
    def _launch(self) -> None:
        """Start the process, and return when it serves."""
