"""A real MariaDB server: the binaries of Debian's package mariadb-server, or whatever else the machine has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.services.mysql_server import AnyMySQLServer, as_user
from tests.services.process import STATE, ServiceUnavailable

ROOT = STATE / "mariadb"


class MariadbServer(AnyMySQLServer):
    """A MariaDB server in a directory of its own."""

    root = ROOT
    backend = "mariadb"

    @staticmethod
    def install() -> None:
        """Make sure that there are binaries to run.

        Raises:
            ServiceUnavailable: there are none on this machine.
        """
        _binary("mariadbd")
        _binary("mariadb-install-db")

    def _make_data(self, directory: Path) -> Sequence[str]:
        command = [_binary("mariadb-install-db"), "--no-defaults", f"--datadir={directory / 'data'}"]
        return [*command, "--auth-root-authentication-method=normal", "--skip-test-db", *as_user()]

    def _command(self) -> Sequence[str]:
        return [_binary("mariadbd"), "--no-defaults"]


def _binary(name: str) -> str:
    path = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin")))
    if path is None:
        raise ServiceUnavailable("MariaDB is missing: apt-get install mariadb-server")
    return path
