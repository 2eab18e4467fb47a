"""The sample's services as processes of their own: started, waited for, asked, ended."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import streambind
from streambind.errors import ConfigurationError, StreambindError

START_S = 30.0
BETWEEN_S = 0.02
_STOP_S = 10.0
_LOG_LINES = 15

# The services are on this machine: a proxy that the environment names is not asked.
_opener = build_opener(ProxyHandler({}))


class DemoError(StreambindError):
    """A step did not come out right: what was expected, what came instead, and whose log may tell why."""

    def __init__(self, expected: str, got: str, service: Service | None = None) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = expected
        self.got = got
        self.service = service


def sample_folder() -> Path:
    """The folder that holds `sample_app` and `config`: beside the package in a checkout, else inside of it.

    Raises:
        ConfigurationError: the sample's requirements are not installed.
    """
    missing = [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(f"the demo needs {' and '.join(missing)}: pip install 'streambind[demo]'")
    package = Path(streambind.__file__).parent
    for folder in (package.parent, package / "demo"):
        if (folder / "sample_app").is_dir() and (folder / "config" / "category").is_dir():
            return folder
    raise ConfigurationError("this installation of streambind lacks the sample; install it from its wheel")


@dataclass(frozen=True)
class Service:
    """One process; its output goes to `log`."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    url: str = ""

    def wait_until(self, ready: Callable[[], bool], what: str) -> None:
        """
        Raises:
            DemoError: the process ended, or was not ready in time.
        """
        deadline = time.monotonic() + START_S
        while not ready():
            if self.process.poll() is not None:
                raise DemoError(what, f"the end of its process, exit code {self.process.returncode}", self)
            if time.monotonic() > deadline:
                raise DemoError(what, f"nothing within {START_S:.0f} s", self)
            time.sleep(BETWEEN_S)

    def answers(self) -> bool:
        """Whether it serves requests and is well."""
        try:
            return self.call("GET", "/health/").status == 200
        except DemoError:
            return False

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Answer:
        """One HTTP request; an answer of 4xx or 5xx is an answer.

        Raises:
            DemoError: nobody answers.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = Request(self.url + path, data=data, method=method, headers=headers)
        try:
            with _opener.open(request, timeout=10) as response:
                return Answer(response.status, _json(response.read()))
        except HTTPError as error:
            with error:
                return Answer(error.code, None)
        except (OSError, http.client.HTTPException) as error:
            raise DemoError(f"an answer to {method} {path}", str(error), self) from error

    def last_lines(self) -> list[str]:
        """The end of its log."""
        return self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:]


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any

    def __str__(self) -> str:
        return str(self.status) if self.body is None else f"{self.status} {compact(self.body)}"


def compact(body: object) -> str:
    """JSON as it travels."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


@contextlib.contextmanager
def embedded_broker(folder: Path, topic: str) -> Iterator[str]:
    """`streambind broker` on a free port, with a topic of one partition; yields its address."""
    arguments = ["streambind", "broker", "--port", "0", "--topic", topic]
    with _running("broker", arguments, folder / "broker.log", {}) as service:
        pattern = re.compile(r"embedded Kafka on (\S+),")
        found: list[str] = []

        def announced() -> bool:
            found.extend(pattern.findall(service.log.read_text(errors="replace")))
            return bool(found)

        service.wait_until(announced, "the broker's address")
        yield found[0]


@contextlib.contextmanager
def web_service(name: str, folder: Path, environment: Mapping[str, str]) -> Iterator[Service]:
    """`sample_app.<name>.app` in uvicorn on a free port, with a database of its own; yields it ready."""
    port = _free_port()
    arguments = ["uvicorn", f"sample_app.{name}.app:api", "--port", str(port), "--log-level", "warning"]
    settings = {"DATABASE_URL": f"sqlite:///{folder / name}.db", **environment}
    with _running(name, arguments, folder / f"{name}.log", settings) as started:
        service = Service(name, started.process, started.log, f"http://127.0.0.1:{port}")
        service.wait_until(service.answers, f"its health at {service.url}/health/")
        yield service


@contextlib.contextmanager
def _running(name: str, arguments: list[str], log: Path, environment: Mapping[str, str]) -> Iterator[Service]:
    """A Python process in the sample's folder, ended when the block ends."""
    folder = sample_folder()
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C is the demo's: it ends its services one after the other.
            start_new_session=True,
        )
    try:
        yield Service(name, process, log)
    finally:
        _end(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _json(text: bytes) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end; whoever is in a hurry, or waits too long, kills it."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except BaseException as error:
        process.kill()
        process.wait()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
