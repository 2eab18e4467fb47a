"""Attributes read by name say what the attribute itself would."""

from __future__ import annotations

import pytest
from sqlalchemy import inspect
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, synonym
from sqlalchemy.orm.exc import DetachedInstanceError

from streambind.outbound.attributes import Attributes
from streambind.outbound.before import detached


class Base(DeclarativeBase):
    pass


class Course(Base):
    __tablename__ = "course"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column("name")
    also_title: Mapped[str] = synonym("title")

    @property
    def shown(self) -> str:
        return f"{self.id}: {self.title}"

    @hybrid_property
    def doubled(self) -> int:
        return self.id * 2

    @hybrid_property
    def length(self) -> int:
        """The class itself has none."""
        return len(self.title)


ALL = ["id", "title", "also_title", "shown", "doubled", "length"]


@pytest.mark.parametrize("names", [[], ["id"], ["title", "id"], ALL])
def test_values_are_those_of_the_attributes_in_the_order_of_the_names(names: list[str]) -> None:
    course = Course(id=2, title="x")
    assert list(Attributes(inspect(Course), names).of(course).items()) == [(n, getattr(course, n)) for n in names]


@pytest.mark.parametrize(("name", "value"), [("shown", "2: x"), ("doubled", 4), ("length", 1)])
def test_what_is_held_under_the_name_of_a_computed_attribute_does_not_count(name: str, value: object) -> None:
    course = Course(id=2, title="x")
    course.__dict__[name] = "old"
    assert Attributes(inspect(Course), ["id", name]).of(course) == {"id": 2, name: value}


def test_what_is_not_held_is_loaded_or_said_to_be_missing() -> None:
    assert Attributes(inspect(Course), ["id", "title"]).of(Course(id=2)) == {"id": 2, "title": None}
    with pytest.raises(DetachedInstanceError):
        Attributes(inspect(Course), ["id", "title"]).of(detached(inspect(Course), {"id": 2}))
