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
    ServiceUnavailable,
    free_port,
)
from tests.services.server import Server

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

_HELD_S = 2
"""How long sessions that are left may hold what is to be dropped."""


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
        drop = f"DROP DATABASE IF EXISTS `{name}`"
        try:
            self._run([f"SET lock_wait_timeout = {_HELD_S}", drop])
        except pymysql.err.OperationalError:
            # Only where it must be: the server dies now and then when a session is killed that ends just then.
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


class MariadbServer(Server):
    """Started with root, it runs as root."""

    @staticmethod
    def install() -> None:
        """Make sure that there are binaries to run.

        Raises:
            ServiceUnavailable: there are none on this machine.
        """
        _binary("mariadbd")
        _binary("mariadb-install-db")

    @property
    def address(self) -> str:
        """The SQLAlchemy URL of the `mysql` database, with the user `root`."""
        return URL.create(
            "mysql+pymysql", username="root", host="127.0.0.1", port=self._port, database="mysql"
        ).render_as_string()

    def new_database(self) -> str:
        """The URL of a new, empty database of this server."""
        return FreshMariaDatabases(self.address).new_database()

    def crash(self) -> None:
        """End the server at once (SIGKILL); committed data stays."""
        self._server.kill()

    def stop(self) -> None:
        """Roll back open transactions, close connections and shut down; the data stays."""
        self._end(signal.SIGTERM)

    def _root(self) -> Path:
        return ROOT

    def _prepare(self, directory: Path) -> None:
        command = [_binary("mariadb-install-db"), "--no-defaults", f"--datadir={directory / 'data'}"]
        command += ["--auth-root-authentication-method=normal", "--skip-test-db", *_as_user()]
        # A server that starts deletes what it takes for left over in the folder of temporary files: others' too.
        surroundings = {**os.environ, "TMPDIR": str(directory)}
        done = subprocess.run(
            command, cwd=directory, env=surroundings, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"mariadb-install-db failed: {done.stdout}{done.stderr}")
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
        server.start(
            [_binary("mariadbd"), "--no-defaults", *(f"--{k}={v}" for k, v in settings.items()), *_as_user()]
        )

        def serves() -> bool:
            with contextlib.suppress(FileNotFoundError), server.log.open("rb") as log:
                log.seek(read_from)
                return b"ready for connections" in log.read()
            return False

        server.wait_until_ready(serves, READY_WITHIN_SECONDS)


def _as_user() -> list[str]:
    """MariaDB refuses to be run by root unless that is said to be meant."""
    return ["--user=root"] if os.geteuid() == 0 else []


def _binary(name: str) -> str:
    path = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin")))
    if path is None:
        raise ServiceUnavailable("MariaDB is missing: apt-get install mariadb-server")
    return path
