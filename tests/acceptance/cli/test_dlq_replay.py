"""`streambind dlq retry` where the broker keeps the group's positions: in memory and on Kafka."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from streambind import Message, PermanentError, StreamApplication, stream_listener
from streambind.binding.factory import BinderFactory
from streambind.configuration.properties import DeadLetterFormat
from streambind.inbound.replay import MAX_REPLAYS
from streambind.testing.eventually import eventually
from tests.acceptance.cli.conftest import Inside
from tests.acceptance.cli.dlq_service import said

CONFIGURATION = """
spring.cloud.stream:
  {binder}.binder: {{{options}}}
  {binder}.bindings.in-a.consumer: {{enableDlq: true, dlqFormat: {form}}}
  defaultBinder: {binder}
  bindings:
    out-a: {{destination: {topic}, producer: {{publish: direct, partitionCount: 2}}}}
    in-a: {{destination: {topic}, group: g, consumer: {{maxAttempts: 1, replay: {replay}}}}}
    in-other: {{destination: {topic}, group: other}}
"""


@dataclass
class Handlers:
    """Two groups on one destination; the first fails at the numbers in `poison`."""

    poison: set[int] = field(default_factory=set)
    came: list[Message] = field(default_factory=list)
    other: list[bytes | None] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @stream_listener("in-a")
    def handle(self, event: dict[str, Any], message: Message) -> None:
        if event["n"] in self.poison:
            raise PermanentError(f"cannot take {event['n']}")
        with self.lock:
            self.came.append(message)

    @stream_listener("in-other")
    def see(self, payload: bytes) -> None:
        with self.lock:
            self.other.append(payload)

    @property
    def numbers(self) -> list[int]:
        return sorted(json.loads(message.payload or b"")["n"] for message in self.came)


@dataclass
class Service:
    shell: Inside
    topic: str
    text: str
    handlers: Handlers = field(default_factory=Handlers)

    def configure(self, replay: str) -> None:
        self.shell.write({"application.yaml": self.text.replace("REPLAY", replay)})

    @contextmanager
    def running(self) -> Iterator[StreamApplication]:
        path = self.shell.folder / "application.yaml"
        with StreamApplication(path, include=[self.handlers], arguments=[]) as application:
            yield application

    def dlq(self, command: str, *arguments: str, code: int = 0) -> Any:
        result = self.shell.run("dlq", command, ".", *arguments, "--json")
        assert result.returncode == code, result.stdout + result.stderr
        return json.loads(result.stdout)

    def ls(self, *arguments: str) -> Any:
        return self.dlq("ls", "--each", *arguments)

    def has_letters(self, number: int) -> None:
        eventually(lambda: len(self.ls()) == number, 30, lambda: f"letters: {self.ls()}")

    def has_handled(self, *numbers: int) -> None:
        eventually(lambda: self.handlers.numbers == list(numbers), 30, lambda: f"{self.handlers.came}")


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def service(request: pytest.FixtureRequest, inside: Inside, topic: str) -> Service:
    is_memory = request.param == "memory"
    options = f"name: {topic}" if is_memory else f"brokers: '{request.getfixturevalue('kafka')}'"
    form = "spring-kafka" if is_memory else "spring-cloud-stream"
    text = CONFIGURATION.format(binder=request.param, options=options, topic=topic, form=form, replay="REPLAY")
    service = Service(inside, topic, text)
    service.configure("true")
    return service


def _send(application: StreamApplication, *numbers: int) -> None:
    for number in numbers:
        application.bridge.send("out-a", {"n": number}, key=str(number), headers={"why": "seen"}).result()


def test_a_letter_comes_back_to_the_group_that_failed_once_and_to_no_other(service: Service) -> None:
    service.handlers.poison = {1, 3}
    with service.running() as application:
        _send(application, 1, 2, 3)
        service.has_letters(2)
        service.handlers.poison = set()
        assert service.dlq("retry", "--dry-run") == said(dry_run=True, replayed=2)
        assert len(service.ls()) == 2
        [first, _] = [item["id"] for item in service.ls()]
        assert service.dlq("retry", first, "--by", "ann") == said(replayed=1)
        assert service.dlq("retry") == said(replayed=1)
        service.has_handled(1, 2, 3)
        assert service.ls() == []
        again = [item["id"] for item in service.ls("--handled")]
        assert {item["state"] for item in service.ls("--handled")} == {"replayed"}
        assert service.dlq("retry", *again) == said(known=2)
        eventually(lambda: len(service.handlers.other) >= 3, 30, lambda: str(service.handlers.other))

    assert len(service.handlers.other) == 3
    assert service.handlers.numbers == [1, 2, 3]
    for message in service.handlers.came:
        assert message.destination == service.topic
        assert message.headers["why"] == "seen"
        assert not any(name.startswith("sb-dlq-") for name in message.headers)


def test_the_way_back_has_a_destination_and_no_dead_letters_of_its_own(service: Service) -> None:
    with service.running() as application:
        names = BinderFactory(application.configuration)
        binder = names.binder(application.configuration.binder_name("in-a"))
        back = f"retry.{service.topic}.g"
        eventually(lambda: binder.describe(back, 5000) is not None, 30, "nobody listens to replays")
        [letters] = {*application.blueprint.letter_routes["in-a"].destinations.values()}
        assert binder.describe(letters, 5000) is not None
        for form in DeadLetterFormat:
            assert binder.describe(form.destination(back, "g"), 5000) is None
        names.close(5000)


def test_letters_wait_for_a_service_that_does_not_run(service: Service) -> None:
    service.handlers.poison = {1}
    with service.running() as application:
        _send(application, 1)
        service.has_letters(1)
    service.handlers.poison = set()
    assert service.dlq("retry")["replayed"] == 1
    with service.running():
        service.has_handled(1)


def test_a_message_that_fails_again_is_a_letter_of_its_first_place_and_not_replayed_for_ever(
    service: Service,
) -> None:
    service.handlers.poison = {1}
    with service.running() as application:
        _send(application, 1)
        service.has_letters(1)
        [at_first] = service.ls()
        for _ in range(MAX_REPLAYS):
            assert service.dlq("retry")["replayed"] == 1
            service.has_letters(1)
        assert service.dlq("retry", code=1) == said(looping=1)
        [letter] = service.ls()
        same = ("destination", "partition", "offset", "timestamp_ms", "key", "payload", "group")
        assert {name: letter[name] for name in same} == {name: at_first[name] for name in same}
        service.handlers.poison = set()
        assert service.dlq("retry", "--force")["replayed"] == 1
        service.has_handled(1)


def test_what_was_exported_and_changed_is_imported(service: Service, tmp_path: Path) -> None:
    service.handlers.poison = {1}
    file = tmp_path / "letters.jsonl"
    with service.running() as application:
        _send(application, 1)
        service.has_letters(1)
        service.shell.run("dlq", "export", ".", "-o", str(file))
        file.write_text(file.read_text().replace('\\"n\\":1', '\\"n\\":10').replace('\\"n\\": 1', '\\"n\\": 10'))
        imported = service.dlq("import", str(file), "--binding", "in-a")
        assert imported == said(replayed=1)
        service.has_handled(10)
        assert service.ls() == []


def test_without_anybody_who_listens_to_replays_nothing_is_sent(service: Service) -> None:
    service.handlers.poison = {1}
    service.configure("false")
    with service.running() as application:
        _send(application, 1)
        service.has_letters(1)
        for replay, text in (("false", "set consumer.replay: true"), ("true", "nobody listens to retry.")):
            service.configure(replay)
            result = service.shell.run("dlq", "retry", ".")
            assert result.returncode == 1
            assert text in " ".join(result.stderr.split())
        refused = service.shell.run("dlq", "skip", ".", service.ls()[0]["id"])
        assert refused.returncode == 1
        assert "nothing else remembers" in " ".join(refused.stderr.split())
        assert len(service.ls()) == 1
