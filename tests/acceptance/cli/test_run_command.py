"""`streambind run` as a process: its settings, its log, its signals; and what is told of it from outside."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from streambind.binders.kafka import EmbeddedBroker
from streambind.message import Message
from streambind.testing.eventually import eventually
from tests.acceptance.cli.conftest import NOWHERE, WITHIN_S, Shell, Started

Send = Callable[[str, Message], None]

FILES = {
    "service/application.yaml": """\
spring:
  cloud:
    stream:
      kafka.binder.brokers: ${KAFKA_BROKERS}
      bindings:
        in-a: {destination: "${TOPIC}", group: "g-${TOPIC}"}
        out-a: {destination: "${TOPIC}-out"}
streambind.datasource.url: sqlite:///service.db
""",
    "service_app.py": """\
import threading
from sqlalchemy.orm import Session
from streambind import StreamApplication, stream_listener

@stream_listener("in-a")
def keep(event: dict, session: Session) -> None:
    print("took", event["n"], flush=True)
    if event["n"] == "slow":
        threading.Event().wait(30)

def make() -> StreamApplication:
    return StreamApplication("service", include=[keep])
""",
}


@pytest.fixture
def service(shell: Shell, broker: EmbeddedBroker, topic: str) -> Shell:
    """A folder with a service that listens to `topic`."""
    broker.create_topic(topic, 1)
    shell.write(FILES)
    shell.environment.update(KAFKA_BROKERS=broker.address, TOPIC=topic)
    return shell


@contextmanager
def _running(service: Shell, *arguments: str) -> Iterator[Started]:
    with service.started("run", "service_app:make", *arguments) as run:
        run.says("starts at 0")
        yield run


def test_it_logs_readable_lines_and_drains_on_sigterm(service: Shell, send: Send, topic: str) -> None:
    with _running(service) as run:
        send(topic, Message(b'{"n": 1}', b"k"))
        run.says("took 1")
        assert run.end() == 0
    assert "SIGTERM: draining" in run.output
    assert "Traceback" not in run.output


def test_a_second_signal_ends_it_at_once(service: Shell, send: Send, topic: str) -> None:
    with _running(service) as run:
        send(topic, Message(b'{"n": "slow"}', b"k"))
        run.says("took slow")
        run.process.send_signal(signal.SIGINT)
        run.says("SIGINT: draining")
        assert run.end(signal.SIGINT) == 130


def test_settings_of_the_command_line_arrive(service: Shell, broker: EmbeddedBroker) -> None:
    broker.create_topic("elsewhere", 1)
    setting = "--spring.cloud.stream.bindings.in-a.destination=elsewhere"
    with service.started("run", "service_app:make", setting, "--log-level", "debug") as run:
        run.says("elsewhere[0] starts at 0")
        assert run.end() == 0


def test_a_wrong_setting_shows_its_finding(service: Shell) -> None:
    result = service.run("run", "service_app:make", "--streambind.nonsense=1")
    assert result.returncode == 1
    assert "command line  error" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr


def test_what_is_told_from_outside(service: Shell, send: Send, topic: str) -> None:
    send(topic, Message(b'{"n": 1}', b"k"))
    [before, _] = json.loads(service.run("bindings", "service_app:make", "--live", "--json").stdout)
    assert (before["lag"], before["positions_in"]) == (None, "database")
    with _running(service) as run:
        run.says("took 1")
        eventually(
            lambda: json.loads(service.run("bindings", "service", "--live", "--json").stdout)[0]["lag"] == 0,
            WITHIN_S,
            "the lag is 0",
        )
        status = service.run("status", "service_app:make")
        assert status.stdout.startswith("up  service_app:make, seen from outside")
        assert "has shards 0-15, lease ends in" in status.stdout
        assert status.returncode == 0
        assert run.end() == 0
    send(topic, Message(b'{"n": 2}', b"k"))
    [after, output] = json.loads(service.run("bindings", "service", "--live", "--json").stdout)
    assert (after["lag"], after["positions_in"]) == (1, "database")
    assert after["partitions"] == [
        {
            "destination": topic,
            "partition": 0,
            "start": 0,
            "end": 2,
            "committed": 1,
            "stored": 1,
            "lost": None,
            "lag": 1,
            "behind_s": None,
        }
    ]
    assert output["lag"] is None
    shown = service.run("bindings", "service_app:make", "--live").stdout
    assert "service_app.keep" in shown
    assert f"{topic}[0]" in shown


@pytest.mark.parametrize("command", [["bindings", "service", "--live"], ["status", "service"]], ids=" ".join)
def test_a_broker_that_is_away_is_said_in_one_line(service: Shell, command: list[str]) -> None:
    service.environment["KAFKA_BROKERS"] = NOWHERE
    result = service.run(*command)
    assert result.returncode == 3
    assert result.stderr.startswith(f"error  the broker {NOWHERE} does not answer")
    assert len(result.stderr.splitlines()) == 1


def test_an_import_error_of_the_users_shows_his_line(service: Shell) -> None:
    service.write({"broken.py": "import service_app\nstream = undefined_name\n"})
    result = service.run("run", "broken")
    assert result.returncode == 1
    assert "stream = undefined_name" in result.stderr
    assert "NameError" in result.stderr
    assert "importlib" not in result.stderr


def test_missing_tables_name_the_command(service: Shell, postgres_url: str) -> None:
    setting = f"--streambind.datasource.url={postgres_url}"
    result = service.run("run", "service_app:make", setting)
    assert result.returncode == 1
    assert "`streambind outbox create-tables service_app:make`" in result.stderr
    assert "Traceback" not in result.stderr
