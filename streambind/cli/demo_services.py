"""The sample's services as processes of their own: started, waited for, asked, ended."""

from __future__ import annotations

import contextlib
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
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import streambind
from streambind.errors import ConfigurationError, StreambindError

START_S = 30.0
_STOP_S = 15.0


class DemoError(StreambindError):
    """A step of the demo did not come out right; the text says which and what came instead."""


def sample_folder() -> Path:
    """The folder that holds `sample_app` and `config`: beside the package in a checkout, inside it in a wheel.

    Raises:
        ConfigurationError: the sample's requirements are not installed.
    """
    missing = [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(f"the demo needs {' and '.join(missing)}: pip install 'streambind[demo]'")
    package = Path(streambind.__file__).parent
    packed = package / "demo"
    return packed if packed.is_dir() else package.parent


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
            DemoError: the process ended, or was not ready in time; with the end of its log.
        """
        deadline = time.monotonic() + START_S
        while not ready():
            if self.process.poll() is not None:
                raise DemoError(f"{self.name} ended with exit code {self.process.returncode}\n{self._tail()}")
            if time.monotonic() > deadline:
                raise DemoError(f"{self.name}: {what} not within {START_S:.0f} s\n{self._tail()}")
            time.sleep(0.05)

    def answers(self) -> bool:
        try:
            return call("GET", f"{self.url}/health/").status == 200
        except DemoError:
            return False

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any


def call(method: str, url: str, body: Mapping[str, object] | None = None) -> Answer:
    """One HTTP request; an answer of 4xx is an answer.

    Raises:
        DemoError: nobody answers.
    """
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=10) as response:
            text = response.read()
            return Answer(response.status, json.loads(text) if text else None)
    except HTTPError as error:
        return Answer(error.code, None)
    except (URLError, OSError) as error:
        raise DemoError(f"{method} {url}: {error}") from error


@contextlib.contextmanager
def running(name: str, arguments: list[str], log: Path, environment: Mapping[str, str]) -> Iterator[Service]:
    """A Python process in the sample's folder, ended when the block ends."""
    folder = sample_folder()
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Service(name, process, log)
    finally:
        _end(process)


@contextlib.contextmanager
def embedded_broker(folder: Path) -> Iterator[str]:
    """`streambind broker` on a free port; yields its address."""
    with running("broker", ["streambind", "broker", "--port", "0"], folder / "broker.log", {}) as service:
        pattern = re.compile(r"embedded Kafka on (\S+),")
        found: list[str] = []

        def ready() -> bool:
            found.extend(pattern.findall(service.log.read_text(errors="replace")))
            return bool(found)

        service.wait_until(ready, "no address printed")
        yield found[0]


@contextlib.contextmanager
def web_service(name: str, folder: Path, environment: Mapping[str, str]) -> Iterator[Service]:
    """`sample_app.<name>` under uvicorn on a free port, with an SQLite file of its own; yields it ready."""
    port = free_port()
    arguments = ["uvicorn", f"sample_app.{name}.app:api", "--port", str(port), "--log-level", "warning"]
    settings = {"DATABASE_URL": f"sqlite:///{folder / name}.db", **environment}
    with running(name, arguments, folder / f"{name}.log", settings) as started:
        service = Service(name, started.process, started.log, f"http://127.0.0.1:{port}")
        service.wait_until(service.answers, f"no answer on port {port}")
        yield service


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
