"""The mark on a class."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from streambind.event import EntityEvent
from streambind.outbound.publication import publications_of
from streambind.outbound.publishes import publishes


class One(EntityEvent):
    id: int


class Two(One):
    name: str


def _bindings(cls: type) -> list[tuple[str, type, type]]:
    return [(p.binding, p.event, p.declared_on) for p in publications_of(cls)]


def test_a_class_without_mark_is_not_published() -> None:
    class Plain:
        pass

    assert publications_of(Plain) == ()


def test_a_class_may_be_published_several_times_in_the_order_of_the_text() -> None:
    @publishes("out-a", One)
    @publishes("out-b", Two)
    class Entity:
        pass

    assert _bindings(Entity) == [("out-a", One, Entity), ("out-b", Two, Entity)]


def test_a_subclass_inherits_and_replaces_by_binding() -> None:
    @publishes("out-a", One)
    @publishes("out-b", One)
    class Parent:
        pass

    @publishes("out-b", Two)
    class Child(Parent):
        pass

    assert _bindings(Child) == [("out-b", Two, Child), ("out-a", One, Parent)]
    assert _bindings(Parent) == [("out-a", One, Parent), ("out-b", One, Parent)]


def test_fields_are_the_events_own_unless_it_is_built() -> None:
    @publishes("out-a", Two)
    @publishes("out-b", Two, build=lambda entity, job: None)
    class Entity:
        pass

    assert [p.fields for p in publications_of(Entity)] == [("id", "name"), ()]


def test_the_decorated_class_is_the_class_itself() -> None:
    class Entity:
        pass

    assert publishes("out-a", One)(Entity) is Entity


def test_marks_watch_each_class_once() -> None:
    class Base(DeclarativeBase):
        pass

    @publishes("out-a", One)
    @publishes("out-b", One)
    class Parent(Base):
        __tablename__ = "parent"
        id: Mapped[int] = mapped_column(primary_key=True)

    @publishes("out-c", One)
    class Child(Parent):
        pass

    from streambind.outbound.publishes import _WATCHERS

    for name, watcher in _WATCHERS.items():
        for cls in (Parent, Child):
            assert event.contains(cls, name, watcher)
            listeners: Any = getattr(cls.__mapper__.dispatch, name)
            assert len(list(listeners)) <= 2
