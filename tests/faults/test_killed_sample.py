"""kill -9 of the sample's services, by HTTP from outside: the category reaches the lectures all the same."""

from __future__ import annotations

import contextlib

import pytest

from streambind.testing.eventually import eventually
from tests.acceptance.sample import Sample
from tests.acceptance.services import Services
from tests.acceptance.stage import Stage

WITHIN_S = 30.0
NAME = "최종테스트"
SHORT_SESSION = {
    "SPRING_CLOUD_STREAM_KAFKA_BINDINGS_INCATEGORYCHANGED_CONSUMER_CONFIGURATION_SESSION_TIMEOUT_MS": "1000",
    "SPRING_CLOUD_STREAM_KAFKA_BINDINGS_INCATEGORYCHANGED_CONSUMER_CONFIGURATION_HEARTBEAT_INTERVAL_MS": "300",
}


@pytest.fixture
def sample(kafka_and_postgres: Stage, services: Services) -> Sample:
    return Sample.on(kafka_and_postgres, services)


@pytest.mark.parametrize("point", ["capture.after_commit", "relay.after_select", "relay.after_ack"])
def test_a_category_arrives_when_its_service_is_killed_after_the_commit(sample: Sample, point: str) -> None:
    sample.lecture.start_web()
    sample.category.start_web(STREAMBIND_FAILPOINTS=f"{point}=kill@1", STREAMBIND_OUTBOX_LEASE="1s")
    with contextlib.suppress(OSError):  # whoever asked may get no answer: the service died over it
        sample.category.call("POST", "/lectureCategories", {"categoryId": 10, "categoryName": NAME})
    sample.category.wait_for_kill(WITHIN_S)
    sample.category.start_web()
    _assert_name(sample, NAME)
    assert sample.category.call("PUT", "/lectureCategories/1", {"categoryName": "그다음"}).status == 200
    _assert_name(sample, "그다음")


@pytest.mark.parametrize("point", ["delivery.after_position", "delivery.before_commit", "delivery.after_commit"])
def test_a_category_arrives_when_the_listening_service_is_killed(sample: Sample, point: str) -> None:
    sample.category.start_web()
    sample.lecture.start_web(STREAMBIND_FAILPOINTS=f"{point}=kill@1", **SHORT_SESSION)
    assert sample.category.call("POST", "/lectureCategories", {"categoryName": NAME}).status == 201
    sample.lecture.wait_for_kill(WITHIN_S)
    sample.lecture.start_web(**SHORT_SESSION)
    _assert_name(sample, NAME)


def _assert_name(sample: Sample, name: str) -> None:
    def has_it() -> bool:
        answer = sample.lecture.call("GET", "/readCategories/1")
        return answer.status == 200 and answer.body["categoryName"] == name

    eventually(has_it, WITHIN_S, lambda: f"no {name}\n{sample.lecture.tail()}\n{sample.category.tail()}")
