"""EntityEvent: what it reads, what it writes, and in which order."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from streambind.conversion import JSON
from streambind.event import EntityEvent, JobType

SEOUL = timezone(timedelta(hours=9))
NEW_YORK = ZoneInfo("America/New_York")
NOON = datetime(2022, 8, 8, 12, 12, 37, tzinfo=UTC)


class LectureCategoryChanged(EntityEvent):
    category_id: int
    category_name: str


class Renamed(EntityEvent, event_type="LectureCategoryChanged"):
    category_id: int


def changed(**fields: object) -> LectureCategoryChanged:
    given = {"job_type": "INSERT", "category_id": 2, "category_name": "최종테스트", **fields}
    return LectureCategoryChanged.model_validate(given)


def written(event: EntityEvent, zone: tzinfo = UTC) -> str:
    return JSON.encoder(zone)(event).decode()


def read(timestamp: object, zone: tzinfo = UTC) -> datetime:
    """The time that an event from the wire has."""
    wire = {"jobType": "INSERT", "timestamp": timestamp, "categoryId": 2, "categoryName": "x"}
    event = JSON.decoder(LectureCategoryChanged, zone)(json.dumps(wire).encode())
    assert isinstance(event, LectureCategoryChanged)
    return event.timestamp


def test_it_is_written_as_the_source_document_has_it() -> None:
    assert written(changed(timestamp=NOON)) == (
        '{"eventType":"LectureCategoryChanged","timestamp":"2022-08-08-12:12:37","jobType":"INSERT",'
        '"categoryId":2,"categoryName":"최종테스트"}'
    )


def test_the_fields_of_a_subclass_come_last_whatever_the_order_they_were_given_in() -> None:
    event = LectureCategoryChanged(category_name="x", category_id=1, job_type=JobType.DELETE, timestamp=NOON)
    assert list(json.loads(written(event))) == ["eventType", "timestamp", "jobType", "categoryId", "categoryName"]


def test_the_type_is_the_name_of_the_class() -> None:
    assert changed().event_type == LectureCategoryChanged.wire_type == "LectureCategoryChanged"


def test_the_type_may_be_another_than_the_name_of_the_class() -> None:
    event = Renamed(job_type=JobType.UPDATE, category_id=1)
    assert event.event_type == Renamed.wire_type == "LectureCategoryChanged"
    assert json.loads(written(event))["eventType"] == "LectureCategoryChanged"


def test_a_subclass_of_a_renamed_class_has_its_own_name() -> None:
    class Further(Renamed):
        pass

    assert Further(job_type=JobType.UPDATE, category_id=1).event_type == "Further"


def test_a_class_may_say_its_type_as_a_field_and_hands_it_on() -> None:
    class Said(EntityEvent):
        event_type: Literal["Said"] = "Said"

    class Further(Said):
        pass

    assert Further(job_type=JobType.UPDATE).event_type == "Said"


def test_the_type_is_known_where_a_field_names_a_class_that_comes_later() -> None:
    class Outer(EntityEvent):
        inner: Inner

    class Inner(BaseModel):
        number: int

    Outer.model_rebuild()

    assert Outer.model_validate({"jobType": "INSERT", "inner": {"number": 1}}).event_type == "Outer"


def test_a_type_that_was_sent_is_kept() -> None:
    assert changed(eventType="Other").event_type == "Other"


def test_both_spellings_of_a_name_are_read() -> None:
    camel = {"eventType": "X", "jobType": "UPDATE", "categoryId": 1, "categoryName": "x", "timestamp": NOON}
    snake = {"event_type": "X", "job_type": "UPDATE", "category_id": 1, "category_name": "x", "timestamp": NOON}
    assert LectureCategoryChanged.model_validate(camel) == LectureCategoryChanged.model_validate(snake)


def test_fields_of_a_newer_producer_are_ignored() -> None:
    event = changed(colour="red")
    assert event == changed(timestamp=event.timestamp)
    assert "colour" not in written(event)


def test_it_cannot_be_changed() -> None:
    event = changed()
    with pytest.raises(ValidationError, match="frozen"):
        event.category_name = "y"  # type: ignore[misc]
    assert event.category_name == "최종테스트"


@pytest.mark.parametrize("missing", ["job_type", "category_id", "category_name"])
def test_a_field_that_is_missing_is_an_error(missing: str) -> None:
    fields = {"job_type": "INSERT", "category_id": 2, "category_name": "x"}
    del fields[missing]
    with pytest.raises(ValidationError, match="Field required"):
        LectureCategoryChanged.model_validate(fields)


@pytest.mark.parametrize("job", ["insert", "TRUNCATE", "", None])
def test_a_job_of_another_name_is_an_error(job: object) -> None:
    with pytest.raises(ValidationError, match="'INSERT', 'UPDATE' or 'DELETE'"):
        changed(job_type=job)


@pytest.mark.parametrize(
    "text",
    [
        "2022-08-08-12:12:37",
        "2022-08-08 12:12:37",
        "2022-08-08T12:12:37",
        "2022-08-08T12:12:37Z",
        "2022-08-08T21:12:37+09:00",
        "2022-08-08T12:12:37.000",
        1659960757000,
        1659960757000.0,
    ],
)
def test_every_form_of_the_time_is_read(text: object) -> None:
    assert read(text) == NOON


def test_parts_of_a_second_are_read() -> None:
    assert read("2022-08-08T12:12:37.250+00:00") == read(1659960757250) == NOON + timedelta(milliseconds=250)


@pytest.mark.parametrize("text", ["2022-08-08-12:12:37", "2022-08-08 12:12:37", "2022-08-08T12:12:37"])
def test_a_time_without_a_zone_is_of_the_configured_one(text: str) -> None:
    assert read(text, SEOUL) == NOON - timedelta(hours=9)
    assert read(text, SEOUL).tzinfo is SEOUL


@pytest.mark.parametrize("text", ["2022-08-08T12:12:37Z", "2022-08-08T21:12:37+09:00", 1659960757000])
def test_a_time_that_says_its_zone_is_of_that_whatever_is_configured(text: object) -> None:
    assert read(text, SEOUL) == NOON


def test_it_is_written_in_the_configured_zone() -> None:
    event = changed(timestamp=NOON)
    assert '"timestamp":"2022-08-08-21:12:37"' in written(event, SEOUL)
    elsewhere = changed(timestamp=NOON.astimezone(timezone(timedelta(hours=-3))))
    assert written(elsewhere, SEOUL) == written(event, SEOUL)
    assert written(elsewhere) == written(event)


class Elsewhere(tzinfo):
    """Like those of dateutil, it has no hash."""

    __hash__ = None  # type: ignore[assignment]

    def utcoffset(self, _: datetime | None) -> timedelta:
        return timedelta(hours=9)

    def dst(self, _: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, _: datetime | None) -> None:
        return None


def test_it_is_written_in_a_zone_that_cannot_be_remembered() -> None:
    event = changed(timestamp=NOON)
    assert written(event, Elsewhere()) == written(event, SEOUL)


@given(
    st.datetimes(datetime(1000, 1, 2), datetime(9999, 12, 30), timezones=st.sampled_from([UTC, SEOUL, NEW_YORK])),
    st.sampled_from([UTC, SEOUL, NEW_YORK]),
)
@example(datetime(1969, 12, 31, 23, 59, 58, 500_000, UTC), UTC)
@example(datetime(2026, 11, 1, 5, 30, tzinfo=UTC), NEW_YORK)
@example(datetime(2026, 11, 1, 6, 30, tzinfo=UTC), NEW_YORK)
def test_parts_of_a_second_are_left_out_of_any_time(time: datetime, zone: tzinfo) -> None:
    text = f"{time.astimezone(zone):%Y-%m-%d-%H:%M:%S}"
    assert f'"timestamp":"{text}"' in written(changed(timestamp=time), zone)


@pytest.mark.parametrize("zone", [UTC, SEOUL])
def test_what_is_written_is_read_again_in_the_same_zone(zone: tzinfo) -> None:
    event = changed(timestamp=NOON)
    assert JSON.decoder(LectureCategoryChanged, zone)(written(event, zone).encode()) == event


def test_it_has_an_aware_time_of_its_own() -> None:
    before = datetime.now(UTC)
    assert before <= changed().timestamp <= datetime.now(UTC)
    assert changed().timestamp.tzinfo is UTC


def test_a_naive_datetime_is_taken_for_utc() -> None:
    assert changed(timestamp=NOON.replace(tzinfo=None)).timestamp == NOON


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("yesterday", "the timestamp is not of the form 2022-08-08-12:12:37"),
        ("", "the timestamp is not of the form"),
        ("2022-13-08-12:12:37", "the timestamp is not of the form"),
        ("2022-08-08-25:12:37", "the timestamp is not of the form"),
        ("2022-08-08x12:12:37Zz", "the timestamp is not of the form"),
        (10**20, "the timestamp is not a time in epoch milliseconds"),
        (float("inf"), "the timestamp is not a time in epoch milliseconds"),
        (float("nan"), "the timestamp is not a time in epoch milliseconds"),
        (True, "valid datetime"),
        (None, "valid datetime"),
        ([], "valid datetime"),
    ],
)
def test_a_time_that_is_none_is_an_error(wrong: object, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        changed(timestamp=wrong)
