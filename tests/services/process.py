"""A server process of the tests: started in a session of its own, found again through its pid file."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
STATE = REPOSITORY / ".services"

_numbers = itertools.count(1)


class ServiceUnavailable(Exception):
    """The service cannot be had on this machine; the message is one line that says what to install."""


class ServerProcess:
    """One server process, described by the files `pid` and `log` in its directory.

    Another Python process that names the same directory sees and controls the same server. Processes are
    recognised by pid and time of birth, so a pid that was given to somebody else is never signalled.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "log"
        self._pid_file = directory / "pid"
        self._child: subprocess.Popen[bytes] | None = None

    def start(
        self, command: Sequence[str], *, env: Mapping[str, str] | None = None, user: str | None = None
    ) -> None:
        """Start `command` as leader of a new session, appending its output to the log.

        Raises:
            RuntimeError: the server of this directory is running already.
        """
        if self.is_running():
            raise RuntimeError(f"the server of {self.directory} is running already")
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=None if env is None else dict(env),
                start_new_session=True,
                user=user,
                group=None if user is None else primary_group(user),
                extra_groups=None if user is None else [],
            )
        self._pid_file.write_text(f"{self._child.pid} {_birth(self._child.pid)}\n")

    @property
    def pid(self) -> int | None:
        """The pid of the running server, None if there is none."""
        if self._child is not None:
            return self._child.pid if self._child.poll() is None else None
        try:
            number, birth = self._pid_file.read_text().strip().split(" ", 1)
        except (FileNotFoundError, ValueError):
            return None
        return int(number) if _birth(int(number)) == birth else None

    def is_running(self) -> bool:
        return self.pid is not None

    def signal(self, number: signal.Signals) -> None:
        """Signal the server itself, not its children. Nothing happens if it is gone."""
        if (pid := self.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """Kill the server's process group (SIGKILL) and return when the server is gone."""
        if (pid := self.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            self.wait_until_gone(30)

    def wait_until_gone(self, seconds: float) -> bool:
        """Whether the server is gone within `seconds`."""
        return wait_for(lambda: not self.is_running(), seconds)

    def wait_until_ready(self, ready: Callable[[], bool], seconds: float) -> None:
        """Return when `ready` holds.

        Raises:
            RuntimeError: the server ended, or is not ready in time; with the end of its log.
        """
        try:
            came = wait_for(lambda: ready() or not self.is_running(), seconds)
        except BaseException:
            self.kill()
            raise
        if came and self.is_running():
            return
        reason = f"is not ready after {seconds:g} s" if self.is_running() else "ended while starting"
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
        self.kill()
        raise RuntimeError(f"the server of {self.directory} {reason}; the end of its log:\n{tail}")


def heed_signals() -> None:
    """To be run in a child before its program: signals that the surroundings of the tests ignore (nohup, a job in
    the background) end it all the same, where it is tested that they do."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether `condition` comes to hold within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def free_port(preferred: int | None = None) -> int:
    """A TCP port of 127.0.0.1 that nobody listens on, `preferred` if it is one.

    It lies below the range from which systems choose the ports of outgoing connections: a client that retries
    while its server is down would otherwise be given the very port, and the server could not come back.
    """
    candidates = [] if preferred is None else [preferred]
    candidates += random.sample(range(20_000, 30_000), 100)
    for port in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise RuntimeError("no free TCP port between 20000 and 30000 on 127.0.0.1")


def free_ports(count: int) -> list[int]:
    """As many ports as `free_port` gives, all different."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return sorted(found)


def run_directory(root: Path, user: str | None = None) -> Path:
    """A new directory below `root` for a server that lives no longer than this Python process."""
    directory = root / f"run-{os.getpid()}-{next(_numbers)}"
    make_directory(directory, user)
    return directory


def make_directory(directory: Path, user: str | None = None) -> None:
    """Make an empty `directory`, owned by `user` if one is named."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    if user is not None:
        shutil.chown(directory, user)


def sweep(root: Path) -> None:
    """End the servers below `root` whose Python process died without stopping them."""
    for directory in root.glob("run-*-*"):
        owner = directory.name.split("-")[1]
        if owner.isdigit() and _birth(int(owner)) is None:
            ServerProcess(directory).kill()
            shutil.rmtree(directory, ignore_errors=True)


def at_exit_of_this_process(action: Callable[[], None]) -> None:
    """Run `action` when this Python process exits; not in processes forked from it."""
    owner = os.getpid()

    def guarded() -> None:
        if os.getpid() == owner:
            action()

    atexit.register(guarded)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock among all processes of this machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def primary_group(user: str) -> int:
    """The id of the group that `user` belongs to first."""
    import pwd

    return pwd.getpwnam(user).pw_gid


def _birth(pid: int) -> str | None:
    """What tells this process from others that had or will have the same pid; None if dead or a zombie."""
    if Path("/proc/self/stat").exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else fields[19]
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    line = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    state, _, started = line.partition(" ")
    return None if not state or state.startswith("Z") else started.strip()
