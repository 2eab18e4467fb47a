"""Programs that a chaos run starts, kills, freezes and starts again: each the leader of a group of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from streambind.testing.eventually import eventually

STOP_S = 40.0
_LOG_LINES = 40

Target = str | Callable[[], object] | Sequence[str]
"""`module:attribute` of an application (or of a function that makes one), a function at the top level of a module,
or the words of a command."""


def command_of(target: Target) -> list[str]:
    """How to run a target in a process of its own. What is not a command ends with the process that started it.

    Raises:
        ValueError: a function that no other process can find.
    """
    child = [sys.executable, "-u", "-m", "streambind.testing.chaos.child"]
    if isinstance(target, str):
        return [*child, target]
    if not callable(target):
        return list(target)
    name = getattr(target, "__qualname__", "<lambda>")
    if not name.isidentifier():
        raise ValueError(f"{name} runs in another process: give a function at the top level of a module")
    return [*child, f"{target.__module__}:{name}", target.__code__.co_filename]


class Program:
    """One program, run as often as wanted; the output of all runs goes to one log. Used from one thread."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        log: Path,
        folder: Path | None = None,
    ) -> None:
        """`environment` is all that the program gets of it. It runs in `folder`, or where this process does."""
        self.name = name
        self.log = log
        self._command = list(command)
        self._environment = dict(environment)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def exit_code(self) -> int | None:
        """Of the last run; None while it runs. A death by signal is the signal's number, negative."""
        return None if self._process is None else self._process.poll()

    @property
    def is_running(self) -> bool:
        """Frozen programs run too."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self.is_running else None

    @property
    def is_frozen(self) -> bool:
        """Whether it stands still, by whoever's doing."""
        if self.pid is None:
            return False
        listed = subprocess.run(["ps", "-o", "stat=", "-p", str(self.pid)], capture_output=True, check=False)
        return listed.stdout.strip().startswith(b"T")

    def start(self, **environment: str) -> None:
        """Start a run; `environment` is added for this run alone."""
        assert not self.is_running, f"{self.name} runs already"
        with self.log.open("ab") as output:
            output.write(f"--- {self.name} starts {environment or ''}\n".encode())
            output.flush()
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env={**self._environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_for_end(self, within_s: float) -> int:
        """The exit code of the run, once it has ended by itself."""
        eventually(lambda: self.exit_code is not None, within_s, lambda: f"{self.name} still runs\n{self.tail()}")
        assert self.exit_code is not None
        return self.exit_code

    def wait_for_kill(self, within_s: float) -> None:
        """Until the run has been killed by the failpoint that it was started with."""
        code = self.wait_for_end(within_s)
        assert code == -signal.SIGKILL, f"{self.name} was not killed, it ended with {code}\n{self.tail()}"

    def freeze(self) -> None:
        """Let the run stand still (SIGSTOP): its connections stay open, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT). Without effect if it does not stand still."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Let the run drain and end (SIGTERM)."""
        self.ask_to_stop()
        self.wait_until_stopped()

    def ask_to_stop(self) -> None:
        """SIGTERM, for one that stands still too."""
        self._signal(signal.SIGTERM)
        self.thaw()

    def wait_until_stopped(self) -> None:
        """After `ask_to_stop`; what does not end in time is killed, and an error."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        ended = process.poll()
        self.kill()
        assert ended is not None, f"{self.name} did not end within {STOP_S:g} s\n{self.tail()}"

    def kill(self) -> None:
        """End the run and whatever it has started, at once (SIGKILL). Without effect if none runs."""
        if self._process is None:
            return
        self._signal(signal.SIGKILL)
        self._process.wait()

    def tail(self) -> str:
        """The last lines of the log."""
        return "\n".join([f"the end of {self.log}:", *self._lines()[-_LOG_LINES:]])

    def ending(self) -> str:
        """How the run ended, and the last line of its log."""
        code = self.exit_code
        how = f"exit code {code}" if code is None or code >= 0 else signal.Signals(-code).name
        last = next((line for line in reversed(self._lines()) if line.strip()), "it has logged nothing")
        return f"{how}, {last}"

    def _lines(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines() if self.log.exists() else []

    def _signal(self, number: signal.Signals) -> None:
        """To the run and whatever it has started, also if only the latter is left."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
