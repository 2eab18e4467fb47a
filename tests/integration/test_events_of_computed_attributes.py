"""Events of attributes made of columns that others have changed since the session looked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import JSON, inspect, select
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, composite, mapped_column

from streambind import EntityEvent, StreamApplication, publishes
from streambind.testing import Streams
from streambind.testing.applications import Applications

CONFIGURATION = """
spring.cloud.stream:
  kafka.binder.brokers: nowhere:9092
  bindings:
    out-places: {destination: places}
"""


class Base(DeclarativeBase):
    pass


class PlaceChanged(EntityEvent):
    id: int
    label: str
    area: int
    tags: dict[str, int]


@dataclass(frozen=True)
class Size:
    width: int
    height: int


@publishes("out-places", PlaceChanged)
class Place(Base):
    __tablename__ = "place"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    country: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    tags: Mapped[dict[str, Any]] = mapped_column(MutableDict.as_mutable(JSON))
    size: Mapped[Size] = composite("width", "height")

    @property
    def label(self) -> str:
        return f"{self.name}, {self.country}"

    @property
    def area(self) -> int:
        return self.size.width * self.size.height


@pytest.fixture
def writer(streams: Streams, stream_application: Applications) -> Iterator[StreamApplication]:
    made = stream_application(CONFIGURATION, include=[Place], metadata=Base.metadata)
    with streams.run(made):
        with made.sessions.begin() as session:
            session.add(Place(id=1, name="old", country="KR", width=2, height=3, tags={"a": 1}))
        yield made


def _last(streams: Streams) -> PlaceChanged:
    streams.settle()
    return streams.published("out-places", PlaceChanged)[-1]


def test_properties_and_composites_are_those_of_the_row(streams: Streams, writer: StreamApplication) -> None:
    with writer.sessions(expire_on_commit=False) as late:
        place = late.get_one(Place, 1)
        size, tags = place.size, place.tags
        late.commit()
        with writer.sessions.begin() as other:
            changed = other.get_one(Place, 1)
            changed.name, changed.width, changed.tags["a"] = "new", 5, 2
        place.country = "US"
        late.commit()
        assert (place.label, place.size, place.area) == ("old, US", size, 6)
        assert place.tags is tags, "the object is left as it was"
    told = _last(streams)
    assert (told.label, told.area, told.tags) == ("new, US", 15, {"a": 2})


def test_a_delete_tells_them_too(streams: Streams, writer: StreamApplication) -> None:
    with writer.sessions(expire_on_commit=False) as late:
        place = late.get_one(Place, 1)
        assert place.size == Size(2, 3)
        late.commit()
        with writer.sessions.begin() as other:
            other.get_one(Place, 1).width = 5
        place.name = "never stored"
        late.delete(place)
        late.commit()
    told = _last(streams)
    assert (str(told.job_type), told.label, told.area) == ("DELETE", "old, KR", 15)


def test_what_an_object_does_not_hold_is_loaded_as_ever(streams: Streams, writer: StreamApplication) -> None:
    with writer.sessions() as session:
        place = session.get_one(Place, 1)
        session.commit()
        place.country = "US"
        session.flush()
        assert "tags" in inspect(place).dict
        place.tags["a"] = 7
        session.commit()
        assert session.scalars(select(Place.tags)).one() == {"a": 7}, "changes of it are noticed"
    assert _last(streams).tags == {"a": 7}
