"""`streambind demo`: the main job, shown: a category changes in one service, the other has it."""

from __future__ import annotations

import contextlib
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import click
from rich.markup import escape

from streambind.binders.kafka import KAFKA
from streambind.binding.binder import Binder
from streambind.cli.demo_services import Answer, DemoError, Service, call, embedded_broker, web_service
from streambind.cli.output import out, without_traceback
from streambind.cli.tail import show
from streambind.message import Message

WITHIN_S = 20.0
_TOPIC = "categoryChanged"
_TIMEOUT_MS = 10_000


@click.command()
@click.option("--brokers", metavar="HOST:PORT", help="Your own Kafka; without it an embedded one is started.")
@without_traceback
def demo(brokers: str | None) -> None:
    """Show the main job: two services, two databases, one topic.

    The category service and the lecture service of the sample run as two processes, each with its own SQLite
    file. Categories are created, changed and deleted over HTTP in the first; the second answers from its
    read model. Exit code 0 only if every answer was right.
    """
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streambind-demo-")))
        topic = _TOPIC
        if brokers is None:
            brokers = stack.enter_context(embedded_broker(folder))
            _say("broker", f"embedded Kafka on {brokers}, no Java, no Docker")
        else:
            # Somebody's cluster: a topic and a group of the demo's own, so that nobody's data is touched.
            topic = f"{_TOPIC}-demo-{uuid.uuid4().hex[:8]}"
            _say("broker", f"your Kafka on {brokers}, topic {topic}")
        environment = _environment(brokers, topic)
        category = stack.enter_context(web_service("category", folder, environment))
        _say("category", f"pid {category.process.pid}, {category.url}, database {folder.name}/category.db")
        lecture = stack.enter_context(web_service("lecture", folder, environment))
        _say("lecture", f"pid {lecture.process.pid}, {lecture.url}, database {folder.name}/lecture.db")
        with _binder(brokers) as binder:
            _Story(category, lecture, binder, topic).tell()
    out.print(f"\n[green bold]all right[/green bold] in {time.monotonic() - began:.1f} s")


class _Story:
    """The steps: do something in the category service, see the record, see the lecture service's answer."""

    def __init__(self, category: Service, lecture: Service, binder: Binder, topic: str) -> None:
        self._category = category
        self._lecture = lecture
        self._binder = binder
        self._topic = topic
        self._positions: dict[int, int] = {}

    def tell(self) -> None:
        first = self._create("최종테스트")
        second = self._create("Python 입문")
        self._do(f"change category {first}", "PUT", first, {"categoryName": "바뀐이름"}, 200)
        self._shown(1)
        self._lecture_has(first, "바뀐이름")
        self._do(f"delete category {second}", "DELETE", second, None, 204)
        self._shown(1)
        self._lecture_has(second, None)

    def _create(self, name: str) -> int:
        answer = self._do(f"create a category {name!r}", "POST", None, {"categoryName": name}, 201)
        category_id: int = answer.body["categoryId"]
        self._shown(1)
        self._lecture_has(category_id, name)
        return category_id

    def _do(
        self, what: str, method: str, category_id: int | None, body: dict[str, object] | None, expected: int
    ) -> Answer:
        path = "/lectureCategories" + ("" if category_id is None else f"/{category_id}")
        out.print(f"\n[bold]{escape(what)}[/bold]")
        answer = call(method, self._category.url + path, body)
        _say("category", f"{method} {path} -> {answer.status} {answer.body or ''}")
        if answer.status != expected:
            raise DemoError(f"{method} {path} answered {answer.status}, expected {expected}")
        return answer

    def _shown(self, count: int) -> None:
        """Wait for `count` new records on the topic and show them."""
        for message in self._records(count):
            show(message, all_headers=True)

    def _records(self, count: int) -> list[Message]:
        found: list[Message] = []
        deadline = time.monotonic() + WITHIN_S
        while len(found) < count:
            info = self._binder.describe(self._topic, _TIMEOUT_MS)
            for partition, start in () if info is None else info.starts.items():
                self._positions.setdefault(partition, start)
            for message in self._binder.read(self._topic, self._positions, _TIMEOUT_MS):
                self._positions[message.partition or 0] = (message.offset or 0) + 1
                found.append(message)
            if time.monotonic() > deadline:
                raise DemoError(f"{len(found)} of {count} records reached topic {self._topic} in {WITHIN_S:.0f} s")
            time.sleep(0.02)
        return found

    def _lecture_has(self, category_id: int, name: str | None) -> None:
        """Wait until the lecture service answers with this name (None: with 404)."""
        path = f"/readCategories/{category_id}"
        began = time.monotonic()
        while True:
            answer = call("GET", self._lecture.url + path)
            right = answer.status == 404 if name is None else (answer.body or {}).get("categoryName") == name
            if right:
                _say("lecture", f"GET {path} -> {answer.status} {answer.body or ''}")
                return
            if time.monotonic() - began > WITHIN_S:
                raise DemoError(f"GET {path} still answers {answer.status} {answer.body} after {WITHIN_S:.0f} s")
            time.sleep(0.02)


def _environment(brokers: str, topic: str) -> dict[str, str]:
    """Spring's spelling of environment variables overrides the sample's configuration."""
    environment = {"KAFKA_BROKERS": brokers}
    if topic != _TOPIC:
        for name in ("OUTCATEGORYCHANGED", "INCATEGORYCHANGED"):
            environment[f"SPRING_CLOUD_STREAM_BINDINGS_{name}_DESTINATION"] = topic
        environment["SPRING_CLOUD_STREAM_BINDINGS_INCATEGORYCHANGED_GROUP"] = f"CGR-lecture-{topic}"
    return environment


@contextlib.contextmanager
def _binder(brokers: str) -> Iterator[Binder]:
    binder = KAFKA.create(KAFKA.binder_properties.model_validate({"brokers": brokers}))
    try:
        yield binder
    finally:
        binder.close(1000)


def _say(who: str, text: str) -> None:
    out.print(f"[cyan]{who:<9}[/cyan] {escape(text)}")
