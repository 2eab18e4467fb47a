"""The demo is right only if every answer and every record is, to the byte."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from streambind.binders.memory import MemoryBinder, MemoryBroker
from streambind.binders.memory.properties import MemoryBinderProperties
from streambind.cli.demo_services import Answer, DemoError, Service
from streambind.cli.demo_story import Story
from streambind.message import Message

TOPIC = "categoryChanged"
HEADERS = {"type": b"LectureCategoryChanged", "contentType": b"application/json", "sb-event-id": b"1"}
Records = Callable[[Message], list[Message]]
Answered = Callable[[Answer], Answer]


class Pair:
    """Both services of the sample as they should answer; a test changes what it wants to go wrong."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self.records: Records = lambda record: [record]
        self.category_answers: Answered = lambda answer: answer
        self.lecture_answers: Answered = lambda answer: answer
        self.backlog = 0
        self.names: dict[int, str] = {}
        self._made = 0

    def category(self, method: str, path: str, body: Mapping[str, object] | None) -> Answer:
        if method == "GET":
            return Answer(200, {"outbox": {"backlog": self.backlog}})
        if method == "POST":
            self._made += 1
        number = self._made if method == "POST" else int(path.rpartition("/")[2])
        name = self.names[number] if body is None else str(body["categoryName"])
        job, status = {"POST": ("INSERT", 201), "PUT": ("UPDATE", 200), "DELETE": ("DELETE", 204)}[method]
        self.broker.append(TOPIC, self.records(record(job, number, name)))
        self.names[number] = name
        if method == "DELETE":
            del self.names[number]
        return self.category_answers(
            Answer(status, None if method == "DELETE" else {"categoryName": name, "categoryId": number})
        )

    def lecture(self, method: str, path: str, body: Mapping[str, object] | None) -> Answer:
        number = int(path.rpartition("/")[2])
        if number not in self.names:
            return self.lecture_answers(Answer(404, None))
        here = {"href": f"http://lecture{path}"}
        answer = {"categoryName": self.names[number], "_links": {"self": here, "category": here}}
        return self.lecture_answers(Answer(200, answer))


class Scripted(Service):
    """A service that a function answers for."""

    answering: Callable[[str, str, Mapping[str, object] | None], Answer]

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Answer:
        return self.answering(method, path, body)


def scripted(
    name: str, folder: Path, answering: Callable[[str, str, Mapping[str, object] | None], Answer]
) -> Scripted:
    process = subprocess.Popen(["true"])
    process.wait()
    service = Scripted(name, process, folder / f"{name}.log", f"http://{name}")
    object.__setattr__(service, "answering", answering)
    return service


def record(job: str, number: int, name: str) -> Message:
    event = {
        "eventType": "LectureCategoryChanged",
        "timestamp": "2022-08-08-12:12:37",
        "jobType": job,
        "categoryId": number,
        "categoryName": name,
    }
    payload = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    return Message(payload, str(number).encode(), raw_headers=list(HEADERS.items()))


@pytest.fixture
def pair() -> Iterator[Pair]:
    with MemoryBroker.fresh() as broker:
        broker.create(TOPIC)
        yield Pair(broker)


@pytest.fixture
def story(pair: Pair, tmp_path: Path) -> Story:
    binder = MemoryBinder(MemoryBinderProperties())
    category, lecture = scripted("category", tmp_path, pair.category), scripted("lecture", tmp_path, pair.lecture)
    # Nothing of this takes time: what is not right at once never is.
    return Story(category, lecture, binder, TOPIC, within_s=0)


def test_what_is_right_is_told_to_its_end(pair: Pair, story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    story.tell()
    assert pair.names == {1: "바뀐이름"}
    links = (
        '{"self":{"href":"http://lecture/readCategories/1"},"category":{"href":"http://lecture/readCategories/1"}}'
    )
    whole = f'GET /readCategories/1 -> 200 {{"categoryName":"바뀐이름","_links":{links}}}'
    assert whole in capsys.readouterr().out


def changed(**change: Any) -> Records:
    """The record with other headers, or other text in its payload."""

    def change_it(message: Message) -> list[Message]:
        headers = {**HEADERS, **change.get("headers", {})}
        payload = (message.payload or b"").replace(*change.get("payload", (b"", b"")))
        return [Message(payload, change.get("key", message.key), raw_headers=list(headers.items()))]

    return change_it


DEVIATIONS = {
    "another key": changed(key=b"7"),
    "no key": changed(key=None),
    "another type": changed(headers={"type": b"CategoryChanged"}),
    "a content type in quotation marks": changed(headers={"contentType": b'"application/json"'}),
    "another eventType": changed(payload=(b'"eventType":"L', b'"eventType":"l')),
    "another job": changed(payload=(b"INSERT", b"UPSERT")),
    "a snake-case field": changed(payload=(b"categoryId", b"category_id")),
    "a blank in the JSON": changed(payload=(b",", b", ")),
    "letters escaped": changed(payload=("최".encode(), b"\\ucd5c")),
    "another form of the time": changed(payload=(b"08-12:12", b"08T12:12")),
    "no payload": lambda message: [Message(None, message.key, raw_headers=message.raw_headers)],
    "no headers": lambda message: [Message(message.payload, message.key)],
    "a type twice": lambda message: [
        Message(message.payload, message.key, raw_headers=[*message.raw_headers, ("type", b"x")])
    ],
}


@pytest.mark.parametrize("deviation", DEVIATIONS.values(), ids=DEVIATIONS.keys())
def test_a_record_that_deviates_fails_the_demo(pair: Pair, story: Story, deviation: Records) -> None:
    pair.records = deviation
    with pytest.raises(DemoError) as caught:
        story.tell()
    assert story.step == "create a category '최종테스트'"
    assert caught.value.service is story.category
    assert caught.value.expected == (
        "key=1  contentType=application/json  type=LectureCategoryChanged  "
        '{"eventType":"LectureCategoryChanged","timestamp":"<time>","jobType":"INSERT","categoryId":1,'
        '"categoryName":"최종테스트"}'
    )
    assert caught.value.got != caught.value.expected


@pytest.mark.parametrize(
    ("job", "step"), [("UPDATE", "change the name of category 1"), ("DELETE", "delete category 2")]
)
def test_the_records_of_all_steps_are_compared(pair: Pair, story: Story, job: str, step: str) -> None:
    pair.records = changed(payload=(f'"{job}"'.encode(), b'"INSERT"'))
    with pytest.raises(DemoError, match=job):
        story.tell()
    assert story.step == step


def test_no_record_fails_the_demo(pair: Pair, story: Story) -> None:
    pair.records = lambda message: []
    with pytest.raises(DemoError, match="a record on topic categoryChanged"):
        story.tell()


@pytest.mark.parametrize(
    ("job", "step"), [("INSERT", "create a category 'Python 입문'"), ("DELETE", "nothing but")]
)
def test_a_record_too_many_fails_the_demo(pair: Pair, story: Story, job: str, step: str) -> None:
    pair.records = lambda message: [message] * (1 + (job.encode() in (message.payload or b"")))
    with pytest.raises(DemoError, match="key="):
        story.tell()
    assert story.step.startswith(step)


def test_what_is_left_in_the_outbox_fails_the_demo(pair: Pair, story: Story) -> None:
    pair.backlog = 1
    with pytest.raises(DemoError, match="expected a backlog of 0, got 1"):
        story.tell()


def test_another_answer_of_the_category_service_fails_the_demo(pair: Pair, story: Story) -> None:
    pair.category_answers = lambda answer: Answer(answer.status, {**(answer.body or {}), "more": 1})
    with pytest.raises(DemoError, match="expected POST /lectureCategories -> 201"):
        story.tell()


@pytest.mark.parametrize(
    "answered",
    [
        lambda answer: Answer(200, {"categoryName": answer.body["categoryName"]}),
        lambda answer: Answer(200, {**answer.body, "_links": {"self": answer.body["_links"]["self"]}}),
        lambda answer: Answer(200, {**answer.body, "categoryId": 1}),
        lambda answer: Answer(200, {**answer.body, "categoryName": "x"}),
        lambda answer: Answer(203, answer.body),
        lambda answer: Answer(404, None),
    ],
    ids=["no links", "a link less", "a field more", "another name", "another status", "nothing"],
)
def test_another_answer_of_the_lecture_service_fails_the_demo(
    pair: Pair, story: Story, answered: Answered
) -> None:
    pair.lecture_answers = answered
    with pytest.raises(DemoError, match=r'expected GET /readCategories/1 -> 200 .*"_links"') as caught:
        story.tell()
    assert caught.value.service is story.lecture


def test_a_category_that_is_not_gone_fails_the_demo(pair: Pair, story: Story) -> None:
    pair.lecture_answers = lambda answer: answer if answer.status == 200 else Answer(200, {})
    with pytest.raises(DemoError, match="expected GET /readCategories/2 -> 404"):
        story.tell()
