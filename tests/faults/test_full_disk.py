"""The disk of the read model's database is full for a while: no message is to blame, and all arrives later."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from streambind.testing.eventually import eventually
from tests.acceptance.services import Services
from tests.acceptance.stage import Stage, prepare, server_databases
from tests.faults.world import World, world
from tests.services import FreshDatabases, PostgresServer, ServiceUnavailable
from tests.services.missing import cannot

SIZE = "200m"
WITHIN_S = 60.0
AS_ROOT = () if os.geteuid() == 0 else ("sudo", "-n")
DISK_FULL = "53100"
"""PostgreSQL's SQLSTATE."""
BLAMED = re.compile(r"\]@\d+ failed: ")
"""What a service says of a message whose handler has raised."""


class Disk:
    """A small file system in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._balloon = folder / "balloon"

    def fill(self) -> None:
        """To the last block."""
        free = shutil.disk_usage(self.folder).free
        with self._balloon.open("ab") as balloon:
            os.posix_fallocate(balloon.fileno(), 0, balloon.tell() + free)

    def free(self) -> None:
        self._balloon.unlink()


@pytest.fixture
def disk() -> Iterator[Disk]:
    folder = Path(tempfile.mkdtemp(prefix="streambind-disk-"))
    mounted = subprocess.run(
        [*AS_ROOT, "mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755,uid={os.getuid()}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        folder.rmdir()
        cannot(f"no small file system can be mounted, which needs root: {mounted.stderr.strip()}")
    yield Disk(folder)
    subprocess.run([*AS_ROOT, "umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


@pytest.fixture
def server_on_it(disk: Disk) -> Iterator[PostgresServer]:
    server = PostgresServer(disk.folder / "server")
    try:
        server.start()
    except ServiceUnavailable as missing:
        cannot(str(missing))
    yield server
    server.discard()


@pytest.fixture
def cramped(
    kafka: str, postgres: FreshDatabases, server_on_it: PostgresServer, services: Services
) -> Iterator[World]:
    """A world whose source has room, and whose effects have little."""

    def little() -> str:
        url = server_on_it.new_database()
        prepare(url)
        return url

    with server_databases(postgres) as room:
        urls = iter((room, little))
        with world(Stage(kafka, lambda: next(urls)()), services) as made:
            yield made


def test_all_arrives_once_the_disk_has_room_again(
    cramped: World, disk: Disk, server_on_it: PostgresServer
) -> None:
    source, effects = cramped.source(0), cramped.effects()
    eventually(lambda: cramped.handled() > 0, WITHIN_S, effects.tail)
    disk.fill()
    eventually(lambda: _is_degraded(effects.log, server_on_it), WITHIN_S, effects.tail)
    disk.free()
    if not server_on_it.is_running():  # It could not write its log, and gave up.
        server_on_it.restart()
    before = cramped.committed()
    eventually(lambda: cramped.committed() > before, WITHIN_S, source.tail)
    source.stop()
    cramped.wait_until_drained(effects)
    effects.stop()
    assert cramped.broken_promises() == []
    assert BLAMED.search(effects.log.read_text()) is None


def _is_degraded(log: Path, server: PostgresServer) -> bool:
    """Whether the listener's database refuses, and the listener says that it tries again."""
    text = log.read_text()
    return "again in" in text and (DISK_FULL in text or not server.is_running())
