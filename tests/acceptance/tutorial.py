"""Follows a tutorial: writes its files, runs its commands, compares what they print."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

WITHIN_S = 60.0

_FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PORTS = ("9092", "8080")


@dataclass(frozen=True)
class File:
    path: str
    text: str


@dataclass(frozen=True)
class Command:
    """`expected` may hold `...`, for anything. In the background it goes on until the tutorial ends."""

    line: str
    expected: str
    background: bool


Step = File | Command


def steps_of(text: str) -> list[Step]:
    """The fenced blocks: a file where the fence names one, commands in `console`; others are prose."""
    steps: list[Step] = []
    for language, path, body in _FENCE.findall(text):
        if path:
            steps.append(File(path, body))
        elif language == "console":
            steps += _commands(body)
    return steps


def _commands(body: str) -> list[Command]:
    found: list[Command] = []
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        line, _, expected = part.partition("\n")
        background = line.endswith(" &")
        found.append(Command(line.removesuffix(" &"), expected.strip(), background))
    return found


class Follower:
    """Works in `folder`, with ports of its own in place of those that the tutorial names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = {port: str(_free_port()) for port in _PORTS}
        self._background: list[subprocess.Popen[bytes]] = []

    def follow(self, steps: list[Step]) -> None:
        """
        Raises:
            AssertionError: a command failed, or printed something else.
        """
        for step in steps:
            if isinstance(step, File):
                target = self._folder / step.path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(self._own_ports(step.text))
            elif step.background:
                self._start(step)
            else:
                self._run(step)

    def end(self) -> None:
        for process in self._background:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _run(self, command: Command) -> None:
        done = subprocess.run(
            self._own_ports(command.line),
            shell=True,
            cwd=self._folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
        )
        if not _matches(done.stdout, self._own_ports(command.expected)):
            raise AssertionError(
                f"$ {command.line}\nprinted:\n{done.stdout}{done.stderr}\nexpected:\n{command.expected}"
            )

    def _start(self, command: Command) -> None:
        log = self._folder / f"background-{len(self._background)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                "exec " + self._own_ports(command.line),
                shell=True,
                cwd=self._folder,
                env=self._environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._background.append(process)
        deadline = time.monotonic() + WITHIN_S
        expected = self._own_ports(command.expected)
        while not _matches(printed := log.read_text(errors="replace"), expected):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"$ {command.line} &\nprinted:\n{printed}\nexpected:\n{command.expected}")
            time.sleep(0.05)

    def _own_ports(self, text: str) -> str:
        for port, own in self._ports.items():
            text = text.replace(port, own)
        return text

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return {**os.environ, "PATH": path, "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}


def _matches(printed: str, expected: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in expected.split("..."))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
