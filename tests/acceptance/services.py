"""Python processes of the tests: each the leader of a group of its own, killed and started again at will."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from streambind.testing.chaos.program import Program
from streambind.testing.eventually import eventually
from tests.services.process import REPOSITORY, free_port

START_S = 40.0
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "SYSTEMROOT")


@dataclass(frozen=True)
class Answer:
    """What a service said: the status, and the JSON of the body if there is one."""

    status: int
    body: Any


class ServiceProcess(Program):
    """One program, run as often as wanted; its output of all runs goes to one log.

    The environment is what is given and nothing of the test's own but the search path, so that a variable of
    the machine cannot change a service's configuration.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], *, log: Path, port: int = 0
    ) -> None:
        inherited = {variable: os.environ[variable] for variable in _INHERITED if variable in os.environ}
        super().__init__(
            name,
            [sys.executable, "-u", "-m", *arguments],
            {**inherited, "PYTHONPATH": str(REPOSITORY), **environment},
            log=log,
            folder=REPOSITORY,
        )
        self.url = f"http://127.0.0.1:{port}"

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
        except http.client.HTTPException as error:
            raise ConnectionError(f"{self.name} died over its answer to {method} {path}: {error!r}") from error

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
