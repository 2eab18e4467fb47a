"""The sample, tested as its authors would test it: with the fixture `streams`, on every kind of broker."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from streambind import JobType
from streambind.testing.streams import Streams
from tests.services.process import REPOSITORY


class Sample(NamedTuple):
    """The services' modules `app`, `models` of the category service and of the lecture service."""

    category: Any
    lecture: Any
    categories: Any
    lectures: Any


@pytest.fixture(scope="module", params=["app", "replica"])
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """Both services, imported once for all tests, as it is with applications at module level: each with an
    SQLite file that all tests share. The lecture service has a handler, or a replica."""
    folder = tmp_path_factory.mktemp("sample")
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("sample_app")}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        category = _imported(patch, folder, "category.app")
        lecture = _imported(patch, folder, f"lecture.{request.param}")
    yield Sample(category, lecture, category.models, getattr(lecture, "models", lecture))
    for service in (category, lecture):
        service.stream.database.dispose()
    for name in [name for name in sys.modules if name.startswith("sample_app")]:
        del sys.modules[name]
    sys.modules.update(before)


@pytest.fixture(params=["memory", "embedded", "kafka"])
def streambind_broker(request: pytest.FixtureRequest) -> str:
    """Overrides the option: each test runs on each broker."""
    return str(request.getfixturevalue("kafka") if request.param == "kafka" else request.param)


@pytest.fixture(autouse=True)
def _empty_tables(sample: Sample) -> None:
    for service, models in ((sample.category, sample.categories), (sample.lecture, sample.lectures)):
        models.Base.metadata.drop_all(service.stream.engine)
        models.Base.metadata.create_all(service.stream.engine)


def test_a_category_reaches_the_lectures(streams: Streams, sample: Sample) -> None:
    category, lecture, categories, lectures = sample
    with streams.run(category.stream), streams.run(lecture.stream):
        with category.Sessions.begin() as s:
            s.add(categories.LectureCategory(category_name="최종테스트"))
        streams.settle()
        published = streams.published("out-categoryChanged", categories.LectureCategoryChanged)
        assert published[0].category_name == "최종테스트"
        with lecture.Sessions() as s:
            assert s.get_one(lectures.Category, 1).category_name == "최종테스트"


def test_changes_and_deletes_reach_the_lectures_in_order(streams: Streams, sample: Sample) -> None:
    category, lecture, categories, lectures = sample
    with streams.run(category.stream), streams.run(lecture.stream):
        for change in ("처음", "바뀐이름"):
            with category.Sessions.begin() as s:
                s.merge(categories.LectureCategory(category_id=1, category_name=change))
        streams.settle()
        with lecture.Sessions() as s:
            assert s.get_one(lectures.Category, 1).category_name == "바뀐이름"
        with category.Sessions.begin() as s:
            s.delete(s.get_one(categories.LectureCategory, 1))
        streams.settle()
        with lecture.Sessions() as s:
            assert s.get(lectures.Category, 1) is None
    jobs = [e.job_type for e in streams.published("out-categoryChanged", categories.LectureCategoryChanged)]
    assert jobs == [JobType.INSERT, JobType.UPDATE, JobType.DELETE]
    assert [record.key for record in streams.records("out-categoryChanged")] == [b"1", b"1", b"1"]


def test_nothing_of_another_test_is_seen(streams: Streams, sample: Sample) -> None:
    category, lecture, categories, lectures = sample
    with streams.run(category.stream), streams.run(lecture.stream):
        streams.settle()
        assert streams.records("out-categoryChanged") == []
        with category.Sessions.begin() as s:
            s.add(categories.LectureCategory(category_id=1, category_name="다시"))
        streams.settle()
        with lecture.Sessions() as s:
            assert s.get_one(lectures.Category, 1).category_name == "다시"


def test_the_lectures_catch_up_when_their_service_was_down(streams: Streams, sample: Sample) -> None:
    category, lecture, categories, lectures = sample
    with category.Sessions.begin() as s:
        s.add(categories.LectureCategory(category_name="먼저"))
    with streams.run(category.stream):
        streams.settle()
    with streams.run(lecture.stream):
        streams.settle()
    with category.Sessions.begin() as s:
        s.get_one(categories.LectureCategory, 1).category_name = "나중에"
    with streams.run(category.stream), streams.run(lecture.stream):
        streams.settle()
        with lecture.Sessions() as s:
            assert s.get_one(lectures.Category, 1).category_name == "나중에"
    assert len(streams.records("out-categoryChanged")) == 2


def _imported(patch: pytest.MonkeyPatch, folder: Path, name: str) -> ModuleType:
    patch.setenv("DATABASE_URL", f"sqlite:///{folder / name}.db")
    return importlib.import_module(f"sample_app.{name}")
