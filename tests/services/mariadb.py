"""A real MariaDB server: the binaries of Debian's package mariadb-server, or whatever else the machine has."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pymysql
from sqlalchemy import URL, make_url

from tests.services.process import (
    STATE,
    ServerProcess,
    ServiceUnavailable,
    at_exit_of_this_process,
    free_port,
    make_directory,
    run_directory,
    sweep,
)

ROOT = STATE / "mariadb"
READY_WITHIN_SECONDS = 60

# A commit reaches the system, not the disk: enough for a crash of the server, which is all that tests make. The
# isolation level is the one it comes with, because that is what users have.
SETTINGS = {
    "bind-address": "127.0.0.1",
    "innodb-flush-log-at-trx-commit": "2",
    "innodb-buffer-pool-size": "64M",
    "innodb-log-file-size": "16M",
    "max-connections": "200",
    "performance-schema": "OFF",
    "character-set-server": "utf8mb4",
}


class FreshMariaDatabases:
    """Makes databases on a server and drops them again. Safe to use from several processes at once."""

    def __init__(self, admin_url: str) -> None:
        """`admin_url` is a SQLAlchemy URL of a user that may create databases."""
        self._admin = make_url(admin_url).set(drivername="mysql+pymysql")

    def new_database(self) -> str:
        """The URL (`mysql+pymysql://...`) of a new, empty database."""
        name = f"streambind_{uuid.uuid4().hex[:16]}"
        self._run([f"CREATE DATABASE `{name}`"])
        return self._admin.set(database=name).render_as_string(hide_password=False)

    def drop_database(self, url: str) -> None:
        """Drop what `new_database` made, ending the connections to it. Dropping twice is no error."""
        name = make_url(url).database or ""
        sessions = self._run([f"SELECT id FROM information_schema.processlist WHERE db = '{name}'"])
        for (session,) in sessions:
            with contextlib.suppress(pymysql.MySQLError):  # it has gone by itself
                self._run([f"KILL {session}"])
        self._run([f"DROP DATABASE IF EXISTS `{name}`"])

    def _run(self, statements: Sequence[str]) -> Sequence[tuple[Any, ...]]:
        admin = self._admin
        with (
            pymysql.connect(
                host=admin.host or "127.0.0.1",
                port=admin.port or 3306,
                user=admin.username,
                password=admin.password or "",
                autocommit=True,
                connect_timeout=10,
            ) as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())


class MariadbServer:
    """A server in a directory of its own. Its address and its data outlive `crash()` and `restart()`.

    Without a directory it belongs to this Python process and is discarded at its exit.
    """

    def __init__(self, directory: Path | None = None, *, preferred_port: int | None = None) -> None:
        self._belongs_to_this_process = directory is None
        self._directory = directory
        self._preferred_port = preferred_port
        self._process: ServerProcess | None = None

    @staticmethod
    def install() -> None:
        """Make sure that there are binaries to run.

        Raises:
            ServiceUnavailable: there are none on this machine.
        """
        _binary("mariadbd")
        _binary("mariadb-install-db")

    def start(self) -> str:
        """Start the server on empty storage and return the URL of its `mysql` database when it serves.

        Raises:
            ServiceUnavailable: it cannot be had on this machine.
            RuntimeError: it does not come up; with the end of its log.
        """
        self.install()
        sweep(ROOT)
        if self._directory is None:
            self._directory = run_directory(ROOT)
        else:
            ServerProcess(self._directory).kill()
            make_directory(self._directory)
        if self._belongs_to_this_process:
            at_exit_of_this_process(self.discard)
        self._process = ServerProcess(self._directory)
        command = [_binary("mariadb-install-db"), "--no-defaults", f"--datadir={self._directory / 'data'}"]
        command += ["--auth-root-authentication-method=normal", "--skip-test-db", *_as_user()]
        done = subprocess.run(command, cwd=self._directory, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"mariadb-install-db failed: {done.stdout}{done.stderr}")
        (self._directory / "port").write_text(str(free_port(self._preferred_port)))
        self._launch()
        (self._directory / "ready").touch()
        return self.url

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the `mysql` database, with the user `root`."""
        return URL.create(
            "mysql+pymysql", username="root", host="127.0.0.1", port=self._port, database="mysql"
        ).render_as_string()

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._server.log

    def new_database(self) -> str:
        """The URL of a new, empty database of this server."""
        return FreshMariaDatabases(self.url).new_database()

    def is_running(self) -> bool:
        return self._process is not None and self._process.is_running()

    def crash(self) -> None:
        """End the server at once (SIGKILL); committed data stays."""
        self._server.kill()

    def stop(self) -> None:
        """Roll back open transactions, close connections and shut down; the data stays."""
        self._server.signal(signal.SIGTERM)
        if not self._server.wait_until_gone(20):
            self._server.kill()

    def restart(self) -> None:
        """Start again on the same address with the same data, after `crash()` or `stop()`."""
        if self.is_running():
            self.stop()
        self._launch()

    def discard(self) -> None:
        """End the server, if it runs, and delete its data. May be called more than once."""
        if self._process is not None:
            self._process.kill()
            shutil.rmtree(self._process.directory, ignore_errors=True)

    @classmethod
    def at(cls, directory: Path) -> MariadbServer | None:
        """The running server that another process started in `directory`, None if there is none."""
        server = cls(directory)
        server._process = ServerProcess(directory)
        return server if server.is_running() and (directory / "ready").exists() else None

    def _launch(self) -> None:
        server = self._server
        read_from = server.log.stat().st_size if server.log.exists() else 0
        settings = {
            **SETTINGS,
            "datadir": str(server.directory / "data"),
            "socket": "socket",  # below datadir; a longer path may be more than a socket's name can be
            "pid-file": "pid",
            "port": str(self._port),
        }
        server.start(
            [_binary("mariadbd"), "--no-defaults", *(f"--{k}={v}" for k, v in settings.items()), *_as_user()]
        )

        def serves() -> bool:
            with contextlib.suppress(FileNotFoundError), server.log.open("rb") as log:
                log.seek(read_from)
                return b"ready for connections" in log.read()
            return False

        server.wait_until_ready(serves, READY_WITHIN_SECONDS)

    @property
    def _port(self) -> int:
        return int((self._server.directory / "port").read_text())

    @property
    def _server(self) -> ServerProcess:
        if self._process is None:
            raise RuntimeError("the server was never started; call start() first")
        return self._process


def _as_user() -> list[str]:
    """MariaDB refuses to be run by root unless that is said to be meant."""
    return ["--user=root"] if os.geteuid() == 0 else []


def _binary(name: str) -> str:
    path = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin")))
    if path is None:
        raise ServiceUnavailable("MariaDB is missing: apt-get install mariadb-server")
    return path
