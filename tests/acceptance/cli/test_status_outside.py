"""`streambind status` of a service that is not asked: what its broker and its database tell."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session

from streambind import StreamApplication, publish, stream_listener
from streambind.binders.memory.broker import MemoryBroker
from streambind.message import Message
from streambind.testing.eventually import eventually
from tests.acceptance.cli.conftest import WITHIN_S, Inside

CONFIGURATION = """\
spring.cloud.stream:
  default-binder: memory
  memory.binder.name: NAME
  bindings:
    in-a: {destination: a, group: g, consumer: {max-attempts: 1, on-error: ON_ERROR}}
    out-a: {destination: a}
    out-b: {destination: b, producer.publish: direct}
streambind.datasource.url: sqlite:///FOLDER/service.db
"""


@stream_listener("in-a")
def keep(event: dict[str, Any], session: Session) -> None:
    if event["n"] == "bad":
        raise ValueError("bad")


@pytest.fixture
def application(inside: Inside) -> Iterator[StreamApplication]:
    """A service on a broker of its own, in this process, that stops at what fails."""
    yield from _application(inside, "stop")


@pytest.fixture
def parking(inside: Inside) -> Iterator[StreamApplication]:
    """One that parks it."""
    yield from _application(inside, "park")


def _application(inside: Inside, on_error: str) -> Iterator[StreamApplication]:
    text = CONFIGURATION.replace("NAME", uuid.uuid4().hex).replace("FOLDER", str(inside.folder))
    text = text.replace("ON_ERROR", on_error)
    inside.write({"service/application.yaml": text})
    made = StreamApplication(inside.folder / "service", include=[keep], arguments=())
    yield made
    made.stop()
    made.engine.dispose()


def _look(inside: Inside) -> tuple[int, dict[str, Any]]:
    """Exit code and document."""
    result = inside.run("status", "service", "--json")
    return result.returncode, json.loads(result.stdout)


def _status(inside: Inside) -> tuple[int, str, str]:
    """Exit code, word, and the reasons in one."""
    code, document = _look(inside)
    return code, document["status"], "; ".join(document["reasons"])


def _publish(application: StreamApplication, n: object) -> None:
    with application.sessions.begin() as session:
        publish(session, "out-a", {"n": n}, key="k")


def _is_up(inside: Inside) -> None:
    eventually(lambda: _status(inside) == (0, "up", ""), WITHIN_S, lambda: str(_status(inside)))


def _has_handled(inside: Inside, messages: int) -> None:
    """That many have been sent and handled; "up" it is also while one is still on its way."""

    def handled() -> bool:
        [lane] = _look(inside)[1]["inputs"][0]["partitions"]
        return bool(lane["stored"] == lane["end"] == messages)

    eventually(handled, WITHIN_S, lambda: str(_look(inside)))


def test_missing_tables_are_down(inside: Inside, application: StreamApplication) -> None:
    code, word, reasons = _status(inside)
    assert (code, word) == (1, "down")
    assert re.search(r"there is no database /\S+: start the application once", reasons)
    assert "`streambind outbox create-tables service`" in reasons
    with application.engine.connect():
        pass  # SQLite makes the file.
    assert "streambind's tables are not in" in _status(inside)[2]
    assert inside.run("status", "service").stdout.startswith(
        "down  service, seen from outside: streambind's tables"
    )


def test_rows_that_nobody_relays_are_degraded(inside: Inside, application: StreamApplication) -> None:
    with application:
        _is_up(inside)
    _publish(application, 1)
    assert _status(inside) == (1, "degraded", "messages wait and nobody relays")
    assert inside.run("status", "service").returncode == 1


def test_messages_that_nobody_takes_are_degraded(inside: Inside, application: StreamApplication) -> None:
    with application:
        _publish(application, 1)
        _has_handled(inside, 1)
        binding: Any = application.binding("in-a")
        binding.stop(1000)
        _publish(application, 2)
        expected = "in-a: a[0] is at 1, 1 message before its end, and no instance of group g takes it"
        eventually(lambda: expected in _status(inside)[2], WITHIN_S, lambda: str(_status(inside)))
        assert _status(inside)[:2] == (1, "degraded")
        binding.start()
        _is_up(inside)


def test_how_far_an_input_is_behind_is_told_and_0_at_the_end(
    inside: Inside, application: StreamApplication
) -> None:
    def told() -> list[tuple[Any, Any]]:
        (found,) = json.loads(inside.run("status", "service", "--json").stdout)["inputs"]
        return [(each["lag"], each["behind_s"]) for each in (found, *found["partitions"])]

    with application:
        _publish(application, 1)
        _is_up(inside)
        assert told() == [(0, 0.0), (0, 0.0)]
        binding: Any = application.binding("in-a")
        binding.stop(1000)
        _publish(application, 2)
        eventually(lambda: told()[0][0] == 1, WITHIN_S, lambda: str(told()))
        (_, total), (_, partition) = told()
        assert total == partition
        assert 0 < total < WITHIN_S * 3
        shown = inside.run("bindings", "service", "--live").stdout
        assert "behind" in shown.splitlines()[0]


def test_a_message_that_does_not_say_when_it_was_committed_is_unknown(
    inside: Inside, application: StreamApplication
) -> None:
    with application:
        _publish(application, 1)
        _is_up(inside)
        application.binding("in-a").stop(1000)
        properties: Any = application.configuration.binder("memory").properties
        MemoryBroker.named(properties.name).append("a", [Message(b'{"n": 2}', b"k")])
        (found,) = json.loads(inside.run("status", "service", "--json").stdout)["inputs"]
        assert (found["lag"], found["behind_s"]) == (1, None)
        assert "unknown" in inside.run("status", "service").stdout


def test_a_partition_that_has_stopped_is_degraded(inside: Inside, application: StreamApplication) -> None:
    with application:
        _publish(application, 1)
        _is_up(inside)
        _publish(application, "bad")
        expected = "in-a: a[0] is at 1, 1 message before its end, and it does not go on"
        eventually(lambda: expected in _status(inside)[2], WITHIN_S, lambda: str(_status(inside)))
        assert _status(inside)[:2] == (1, "degraded")


def test_parked_keys_are_degraded(inside: Inside, parking: StreamApplication) -> None:
    with parking:
        _publish(parking, "bad")
        _publish(parking, 1)
        expected = "in-a: 1 key parked; 2 messages behind, for "
        eventually(lambda: expected in _status(inside)[2], WITHIN_S, lambda: str(_status(inside)))
        assert _status(inside)[:2] == (1, "degraded")
