"""Commands as users run them: processes of their own, in a folder outside of the repository."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner

from streambind.binders.kafka import KAFKA, EmbeddedBroker
from streambind.binding.binder import ProducerBinding, ProducerTarget
from streambind.binding.outcome import Sent
from streambind.cli import main
from streambind.configuration import ProducerProperties
from streambind.message import Message
from streambind.testing.eventually import eventually
from tests.acceptance.cli.writer import CONFIGURATION, Writer
from tests.acceptance.stage import prepare
from tests.services.process import heed_signals

WITHIN_S = 60.0
END_S = 20.0
COMMAND = [sys.executable, "-m", "streambind"]
NOWHERE = "127.0.0.1:1"
_numbers = itertools.count(1)


@dataclass
class Started:
    """A command at work; `output` is what it has written so far, both streams in one."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def says(self, text: str) -> None:
        """Wait until it has written `text`."""
        eventually(lambda: text in self.output or self.process.poll() is not None, WITHIN_S, lambda: self.output)
        assert text in self.output, self.output

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(WITHIN_S)


@dataclass
class Shell:
    """Runs `streambind` in `folder`."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """A command from its start to its end."""
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            timeout=WITHIN_S,
            encoding="utf-8",
            check=False,
        )

    def shown(self, *arguments: object) -> str:
        """What a command that ends well shows on a terminal, beside its output."""
        ours, theirs = os.openpty()
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=theirs,
            preexec_fn=heed_signals,
        )
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # Nobody has the other end any more.
            while part := os.read(ours, 4096):
                shown += part
        os.close(ours)
        text = shown.decode(errors="replace")
        assert process.wait(WITHIN_S) == 0, text
        return text

    @contextmanager
    def started(self, *arguments: object) -> Iterator[Started]:
        """A command that goes on, in a process group of its own; ended with all that it started if it still runs
        at the end."""
        log = self.folder / f"{arguments[0]}-{next(_numbers)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*COMMAND, *map(str, arguments)],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=heed_signals,
            )
        try:
            yield Started(process, log)
        finally:
            # Asked first: what it started may have a group of its own.
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def write(self, files: Mapping[str, str]) -> None:
        """Files by name, in the folder."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONUNBUFFERED": "1", **self.environment}


class Inside(Shell):
    """The same in the test's own process: quicker, for commands that end by themselves."""

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        words = [str(argument) for argument in arguments]
        with contextlib.chdir(self.folder):
            result = CliRunner().invoke(main, words, env=self.environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return subprocess.CompletedProcess(words, result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def inside(tmp_path: Path) -> Inside:
    return Inside(tmp_path)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as started:
        yield started


@pytest.fixture
def send(broker: EmbeddedBroker) -> Iterator[Callable[[str, Message], None]]:
    """Sends a message to a topic of `broker`, which is made with one partition, and waits until it is there."""
    binder = KAFKA.create(KAFKA.binder_properties.model_validate({"brokers": broker.address}))
    producers: dict[str, ProducerBinding] = {}

    def send_one(topic: str, message: Message) -> None:
        if topic not in producers:
            broker.create_topic(topic, 1)
            extended = KAFKA.producer_properties()
            target = ProducerTarget(f"out-{topic}", topic, ProducerProperties(), extended, 10_000)
            producers[topic] = binder.bind_producer(target)
        [result] = producers[topic].send([message])
        assert isinstance(result, Sent)

    yield send_one
    binder.close(1000)


def service(shell: Shell, brokers: str, url: str, topic: str) -> Writer:
    """A service that only writes, and a folder with its configuration for relays."""
    shell.write({"service/application.yaml": CONFIGURATION})
    settings = {"KAFKA_BROKERS": brokers, "DATABASE_URL": url, "TOPIC": topic}
    shell.environment.update(settings)
    return Writer(shell.folder, settings)


@pytest.fixture
def writer(shell: Shell, kafka: str, postgres_url: str, topic: str) -> Iterator[Writer]:
    """A service that only writes, on PostgreSQL, and a folder with its configuration for relays."""
    prepare(postgres_url)
    writer = service(shell, kafka, postgres_url, topic)
    with writer.stream:
        yield writer
    writer.database.dispose()
