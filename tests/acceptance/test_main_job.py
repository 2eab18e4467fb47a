"""Section 5 of the source document, by HTTP: a category is added in one service, the other one answers with it."""

from __future__ import annotations

import re
import time
from uuid import UUID

import pytest

from streambind.message import Message
from streambind.testing.eventually import eventually
from tests.acceptance.sample import Sample
from tests.acceptance.services import Answer, ServiceProcess, Services
from tests.acceptance.stage import Stage

WITHIN_S = 20.0
NAME = "최종테스트"


@pytest.fixture(params=["kafka_and_postgres", "embedded_and_sqlite"])
def stage(request: pytest.FixtureRequest) -> Stage:
    stage: Stage = request.getfixturevalue(request.param)
    return stage


@pytest.fixture
def sample(stage: Stage, services: Services) -> Sample:
    sample = Sample.on(stage, services)
    sample.category.start_web()
    sample.lecture.start_web()
    return sample


def test_a_category_travels_when_it_is_added_changed_and_deleted(stage: Stage, sample: Sample) -> None:
    category, lecture = sample.category, sample.lecture
    assert category.call("POST", "/lectureCategories", {"categoryName": "처음"}).status == 201
    added = category.call("POST", "/lectureCategories", {"categoryId": 10, "categoryName": NAME})
    assert added == Answer(201, {"categoryId": 2, "categoryName": NAME}), "the database gives the id"
    link = {"href": f"{lecture.url}/readCategories/2"}
    answer = _answer_with_name(lecture, NAME)
    assert answer == {"categoryName": NAME, "_links": {"self": link, "category": link}}

    changed = category.call("PUT", "/lectureCategories/2", {"categoryName": "바뀐이름"})
    assert changed == Answer(200, {"categoryId": 2, "categoryName": "바뀐이름"})
    assert _answer_with_name(lecture, "바뀐이름")["_links"] == {"self": link, "category": link}

    assert category.call("DELETE", "/lectureCategories/2") == Answer(204, None)
    eventually(
        lambda: lecture.call("GET", "/readCategories/2").status == 404, WITHIN_S, "the category is still there"
    )
    assert lecture.call("GET", "/readCategories/1").body["categoryName"] == "처음"

    with stage.reader(sample.topic) as reader:
        records = [record for record in reader.read(4, WITHIN_S) if record.key == b"2"]
    assert [_without_time(record) for record in records] == [
        _value("INSERT", NAME),
        _value("UPDATE", "바뀐이름"),
        _value("DELETE", "바뀐이름"),
    ]
    _assert_headers(records, sample.topic)


def test_what_does_not_exist_is_not_found_and_publishes_nothing(stage: Stage, sample: Sample) -> None:
    category, lecture = sample.category, sample.lecture
    assert category.call("PUT", "/lectureCategories/99", {"categoryName": NAME}).status == 404
    assert category.call("DELETE", "/lectureCategories/99").status == 404
    assert lecture.call("GET", "/readCategories/99").status == 404
    assert category.call("POST", "/lectureCategories", {"categoryId": 10}).status == 422
    assert category.call("POST", "/lectureCategories", {"categoryName": NAME}).body["categoryId"] == 1
    with stage.reader(sample.topic) as reader:
        assert [record.key for record in reader.read(1, WITHIN_S)] == [b"1"]


def _answer_with_name(lecture: ServiceProcess, name: str) -> dict[str, object]:
    """The lecture service's answer, once it has the name."""
    answers: list[Answer] = []

    def has_it() -> bool:
        answers.append(lecture.call("GET", "/readCategories/2"))
        return answers[-1].status == 200 and answers[-1].body["categoryName"] == name

    eventually(has_it, WITHIN_S, lambda: f"the lecture service answers {answers[-1]}, not {name}")
    body: dict[str, object] = answers[-1].body
    return body


def _value(job: str, name: str) -> bytes:
    """The document's record, byte for byte but for the time."""
    text = (
        '{"eventType":"LectureCategoryChanged","timestamp":"<time>","jobType":"%s","categoryId":2,'
        '"categoryName":"%s"}'
    )
    return (text % (job, name)).encode()


def _without_time(record: Message) -> bytes:
    return re.sub(rb'"timestamp":"\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d"', b'"timestamp":"<time>"', record.payload or b"")


def _assert_headers(records: list[Message], topic: str) -> None:
    """Spring's headers and streambind's, and no others: `id` and `timestamp` are Spring's own."""
    sources: set[str] = set()
    for number, record in enumerate(records, start=1):
        headers = dict(record.raw_headers)
        assert len(headers) == len(record.raw_headers)
        assert headers["type"] == b"LectureCategoryChanged"
        assert headers["contentType"] == b"application/json"
        types = b'{"type":"java.lang.String","contentType":"java.lang.String"}'
        assert headers["spring_json_header_types"] == types
        UUID((headers["sb-event-id"] or b"").decode())
        version, source, epoch, destination, seq = (headers["sb-origin"] or b"").decode().split("/")
        assert (version, epoch, destination, seq) == ("1", "1", topic, str(number))
        sources.add(source)
        assert int(headers["sb-committed"] or b"") <= time.time() * 1000
        ours = {"sb-event-id", "sb-committed", "sb-origin"}
        assert set(headers) == {"type", "contentType", "spring_json_header_types", *ours}
    assert len(sources) == 1
    assert len({dict(record.raw_headers)["sb-event-id"] for record in records}) == len(records)
