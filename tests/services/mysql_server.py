"""What MariaDB and MySQL have in common as servers of the tests: settings, databases, a life, and its end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import uuid
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pymysql
from sqlalchemy import URL, make_url

from tests.services.process import free_port
from tests.services.server import Server

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

_HELD_S = 2
"""How long sessions that are left may hold what is to be dropped."""


class FreshMySQLDatabases:
    """Makes databases on a server and drops them again. Safe to use from several processes at once."""

    def __init__(self, admin_url: str) -> None:
        """`admin_url` is a SQLAlchemy URL of a user that may create databases."""
        self._admin = make_url(admin_url)

    def new_database(self) -> str:
        """The URL of a new, empty database, by the name that the server has in `admin_url`."""
        name = f"streambind_{uuid.uuid4().hex[:16]}"
        self._run([f"CREATE DATABASE `{name}`"])
        return self._admin.set(database=name).render_as_string(hide_password=False)

    def drop_database(self, url: str) -> None:
        """Drop what `new_database` made, ending the connections to it. Dropping twice is no error."""
        name = make_url(url).database or ""
        drop = f"DROP DATABASE IF EXISTS `{name}`"
        try:
            self._run([f"SET lock_wait_timeout = {_HELD_S}", drop])
        except pymysql.err.OperationalError:
            # Only where it must be: MariaDB dies now and then when a session is killed that ends just then.
            for (session,) in self._run([f"SELECT id FROM information_schema.processlist WHERE db = '{name}'"]):
                with contextlib.suppress(pymysql.MySQLError):  # it has gone by itself
                    self._run([f"KILL {session}"])
            self._run([drop])

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


class AnyMySQLServer(Server):
    """Started with root, it runs as root."""

    root: ClassVar[Path]
    """Where the directories of such servers are."""
    backend: ClassVar[str]
    """SQLAlchemy's name for it."""

    @property
    def address(self) -> str:
        """The SQLAlchemy URL of the `mysql` database, with the user `root`."""
        return URL.create(
            f"{self.backend}+pymysql", username="root", host="127.0.0.1", port=self._port, database="mysql"
        ).render_as_string()

    def new_database(self) -> str:
        """The URL of a new, empty database of this server."""
        return FreshMySQLDatabases(self.address).new_database()

    def crash(self) -> None:
        """End the server at once (SIGKILL); committed data stays."""
        self._server.kill()

    def stop(self) -> None:
        """Roll back open transactions, close connections and shut down; the data stays."""
        self._end(signal.SIGTERM)

    def _root(self) -> Path:
        return self.root

    @abstractmethod
    def _make_data(self, directory: Path) -> Sequence[str]:
        """The command that makes `data` in the directory, where it is run."""

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """The server's command, but for `SETTINGS` and places."""

    def _prepare(self, directory: Path) -> None:
        command = self._make_data(directory)
        # A server that starts deletes what it takes for left over in the folder of temporary files: others' too.
        surroundings = {**os.environ, "TMPDIR": str(directory)}
        done = subprocess.run(
            command, cwd=directory, env=surroundings, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} failed: {done.stdout}{done.stderr}")
        (directory / "port").write_text(str(free_port(self._preferred_port)))

    def _launch(self) -> None:
        server = self._server
        read_from = server.log.stat().st_size if server.log.exists() else 0
        settings = {
            **SETTINGS,
            "datadir": str(server.directory / "data"),
            "socket": "socket",  # below datadir; a longer path may be more than a socket's name can be
            "pid-file": "pid",
            "tmpdir": str(server.directory),
            "port": str(self._port),
        }
        server.start([*self._command(), *(f"--{k}={v}" for k, v in settings.items()), *as_user()])

        def serves() -> bool:
            with contextlib.suppress(FileNotFoundError), server.log.open("rb") as log:
                log.seek(read_from)
                return b"ready for connections" in log.read()
            return False

        server.wait_until_ready(serves, READY_WITHIN_SECONDS)


def as_user() -> list[str]:
    """Both refuse to be run by root unless that is said to be meant."""
    return ["--user=root"] if os.geteuid() == 0 else []
