"""Python processes of the tests: each the leader of a group of its own, killed and started again at will."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from streambind.testing.eventually import eventually
from tests.services.process import REPOSITORY, free_port

START_S = 40.0
_STOP_S = 20.0
_LOG_LINES = 40
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "SYSTEMROOT")


@dataclass(frozen=True)
class Answer:
    """What a service said: the status, and the JSON of the body if there is one."""

    status: int
    body: Any


class ServiceProcess:
    """One program, run as often as wanted; its output of all runs goes to one log.

    The environment is what is given and nothing of the test's own but the search path, so that a variable of
    the machine cannot change a service's configuration.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], *, log: Path, port: int = 0
    ) -> None:
        self.name = name
        self.log = log
        self.url = f"http://127.0.0.1:{port}"
        self._arguments = list(arguments)
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def exit_code(self) -> int | None:
        """Of the last run; None while it runs. A death by signal is the signal's number, negative."""
        return None if self._process is None else self._process.poll()

    def start(self, **environment: str) -> None:
        """Start a run; `environment` is added for this run alone."""
        assert self._process is None or self.exit_code is not None, f"{self.name} runs already"
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        with self.log.open("ab") as output:
            output.write(f"--- {self.name} starts {environment or ''}\n".encode())
            output.flush()
            self._process = subprocess.Popen(
                [sys.executable, "-u", "-m", *self._arguments],
                cwd=REPOSITORY,
                env={**inherited, "PYTHONPATH": str(REPOSITORY), **self._environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start_web(self, **environment: str) -> None:
        """Start a run of a web service and wait until it answers."""
        self.start(**environment)
        eventually(self._answers_or_ended, START_S, lambda: f"{self.name} does not answer\n{self.tail()}")
        assert self.exit_code is None, f"{self.name} ended with {self.exit_code}\n{self.tail()}"

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Answer:
        """One HTTP request; an answer of 4xx or 5xx is an answer.

        Raises:
            OSError: nobody answers, or the service died over it.
        """
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urlopen(request, timeout=10) as response:
                text = response.read()
                return Answer(response.status, json.loads(text) if text else None)
        except HTTPError as error:
            error.close()
            return Answer(error.code, None)

    def wait_for_end(self, within_s: float) -> int:
        """The exit code of the run, once it has ended by itself."""
        eventually(lambda: self.exit_code is not None, within_s, lambda: f"{self.name} still runs\n{self.tail()}")
        assert self.exit_code is not None
        return self.exit_code

    def wait_for_kill(self, within_s: float) -> None:
        """Until the run has been killed by the failpoint that it was started with."""
        code = self.wait_for_end(within_s)
        assert code == -signal.SIGKILL, f"{self.name} was not killed, it ended with {code}\n{self.tail()}"

    def stop(self) -> None:
        """Let the run drain and end (SIGTERM)."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
        ended = process.poll()
        self.kill()
        assert ended is not None, f"{self.name} did not end within {_STOP_S:g} s\n{self.tail()}"

    def kill(self) -> None:
        """End the run and whatever it has started, at once (SIGKILL). Without effect if none runs."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def tail(self) -> str:
        """The last lines of the log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([f"the end of {self.log}:", *lines[-_LOG_LINES:]])

    def _answers_or_ended(self) -> bool:
        if self.exit_code is not None:
            return True
        with contextlib.suppress(OSError):
            return self.call("GET", "/health/").status == 200
        return False


class Services:
    """Makes processes for one test and ends them all with it; what they wrote is shown if the test fails."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[ServiceProcess] = []

    def program(self, name: str, module: str, environment: Mapping[str, str]) -> ServiceProcess:
        """A program `python -m module`, not started yet."""
        return self._add(ServiceProcess(name, [module], environment, log=self._folder / f"{name}.log"))

    def web(self, name: str, application: str, environment: Mapping[str, str]) -> ServiceProcess:
        """An ASGI application `module:attribute` under uvicorn on a free port, not started yet."""
        port = free_port()
        arguments = ["uvicorn", application, "--port", str(port), "--log-level", "warning"]
        log = self._folder / f"{name}.log"
        return self._add(ServiceProcess(name, arguments, environment, log=log, port=port))

    def end(self) -> None:
        """Kill what still runs and print the logs: pytest shows them with a failed test only."""
        for service in self._made:
            service.kill()
            sys.stdout.write(service.tail() + "\n")

    def _add(self, service: ServiceProcess) -> ServiceProcess:
        self._made.append(service)
        return service
