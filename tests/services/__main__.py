"""The servers by hand: ``python -m tests.services up|down|status|install|clean [kafka|postgres|mariadb|mysql]``.

`up` starts a server in the background, or finds the one it started before, and prints its address; `down`
ends it and deletes its data; `clean` deletes what was installed as well. Tests use a server that is up and
leave it up.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.services import mariadb, mysql
from tests.services.kafka import ROOT, KafkaBroker
from tests.services.mariadb import MariadbServer
from tests.services.mysql import MySQLServer
from tests.services.postgres import PostgresServer, state_root, unprivileged_user
from tests.services.process import ServiceUnavailable, locked


class Service(NamedTuple):
    """What can be done with one kind of server; addresses are text to print, None where nothing runs."""

    install: Callable[[], None]
    running: Callable[[], str | None]
    up: Callable[[], str]
    down: Callable[[], None]
    root: Callable[[], Path]


def running_kafka() -> str | None:
    """The address of the broker that `up` started, None if there is none."""
    broker = KafkaBroker.at(ROOT / "up")
    return None if broker is None else broker.address


def running_postgres() -> str | None:
    """The URL of the server that `up` started, None if there is none."""
    server = PostgresServer.at(_postgres_root() / "up")
    return None if server is None else server.address


def running_mariadb() -> str | None:
    """The URL of the server that `up` started, None if there is none."""
    server = MariadbServer.at(mariadb.ROOT / "up")
    return None if server is None else server.address


def running_mysql() -> str | None:
    """The URL of the server that `up` started, None if there is none."""
    server = MySQLServer.at(mysql.ROOT / "up")
    return None if server is None else server.address


def _kafka_up() -> str:
    with locked(ROOT / "up.lock"):
        return running_kafka() or KafkaBroker(ROOT / "up", preferred_port=9092).start()


def _kafka_down() -> None:
    if (broker := KafkaBroker.at(ROOT / "up")) is not None:
        broker.stop()
        broker.discard()


def _postgres_up() -> str:
    root = _postgres_root()
    with locked(root / "up.lock"):
        return running_postgres() or PostgresServer(root / "up", preferred_port=5432).start()


def _postgres_down() -> None:
    if (server := PostgresServer.at(_postgres_root() / "up")) is not None:
        server.stop()
        server.discard()


def _postgres_root() -> Path:
    return state_root(unprivileged_user())


def _mariadb_up() -> str:
    with locked(mariadb.ROOT / "up.lock"):
        return running_mariadb() or MariadbServer(mariadb.ROOT / "up", preferred_port=3306).start()


def _mariadb_down() -> None:
    if (server := MariadbServer.at(mariadb.ROOT / "up")) is not None:
        server.stop()
        server.discard()


def _mysql_up() -> str:
    with locked(mysql.ROOT / "up.lock"):
        return running_mysql() or MySQLServer(mysql.ROOT / "up", preferred_port=3307).start()


def _mysql_down() -> None:
    if (server := MySQLServer.at(mysql.ROOT / "up")) is not None:
        server.stop()
        server.discard()


SERVICES: Mapping[str, Service] = {
    "kafka": Service(KafkaBroker.install, running_kafka, _kafka_up, _kafka_down, lambda: ROOT),
    "postgres": Service(PostgresServer.install, running_postgres, _postgres_up, _postgres_down, _postgres_root),
    "mariadb": Service(MariadbServer.install, running_mariadb, _mariadb_up, _mariadb_down, lambda: mariadb.ROOT),
    "mysql": Service(MySQLServer.install, running_mysql, _mysql_up, _mysql_down, lambda: mysql.ROOT),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code is 0 if every named service did what was asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.services", description=__doc__)
    parser.add_argument("verb", choices=["up", "down", "status", "install", "clean"])
    parser.add_argument("service", nargs="*", choices=[*SERVICES, []], help="all of them if none is named")
    chosen = parser.parse_args(arguments)
    failed = 0
    for name in chosen.service or SERVICES:
        try:
            _say(f"{name}: {_do(chosen.verb, SERVICES[name])}")
        except ServiceUnavailable as reason:
            _say(f"{name}: not available. {reason}")
            failed = 1
    return failed


def _do(verb: str, service: Service) -> str:
    if verb == "up":
        return service.up()
    if verb == "status":
        return service.running() or "down"
    if verb == "install":
        service.install()
        return "installed"
    service.down()
    if verb == "clean":
        shutil.rmtree(service.root(), ignore_errors=True)
        with contextlib.suppress(OSError):  # the other services are still installed there
            service.root().parent.rmdir()
    return "down"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
