"""What building an application says about published classes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, create_engine
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import configure_mappers, registry, relationship, sessionmaker

from streambind.configuration.properties import Publish
from streambind.conversion import JSON
from streambind.event import EntityEvent, JobType
from streambind.event_loop import EventLoop
from streambind.outbound.capture import Capture
from streambind.outbound.outgoing import OutputPlan
from streambind.outbound.publishes import publishes
from streambind.persistence.database import Database

HERE = str(Path(__file__).relative_to(Path.cwd()))


class ChildChanged(EntityEvent):
    id: int
    parent_id: int | None


def _findings(folder: Path, *classes: type, publish: Publish = Publish.OUTBOX, **options: Any) -> list[str]:
    output = OutputPlan("out-child", "child", JSON.encoder(UTC), publish=publish)
    capture = Capture(
        Database(sessionmaker(create_engine(f"sqlite:///{folder / 'a.db'}"), **options), loop=EventLoop()),
        classes,
        outputs={"out-child": output},
        wake=lambda: None,
        send_after_commit=lambda _: None,
    )
    findings = capture.check()
    assert {finding.origin and finding.origin.shown_source for finding in findings} <= {HERE}
    return [f"{finding.severity}  {finding.text}" for finding in findings]


def _family(children: Mapping[str, Any] | None = None, **foreign_key: Any) -> tuple[type, type]:
    """A parent and its published child; `children` are the options of the parent's relationship, if it has one."""
    mapped = registry(metadata=MetaData())
    parents = Table("parent", mapped.metadata, Column("id", Integer, primary_key=True))
    childs = Table(
        "child",
        mapped.metadata,
        Column("id", Integer, primary_key=True),
        Column("parent_id", ForeignKey("parent.id", **foreign_key)),
    )

    class Parent:
        pass

    @publishes("out-child", ChildChanged)
    class Child:
        pass

    properties: dict[str, Any] = {}
    mapped.map_imperatively(Child, childs)
    if children is not None:
        properties["children"] = relationship(Child, **children)
    mapped.map_imperatively(Parent, parents, properties=properties)
    return Parent, Child


def test_classes_that_are_right_have_no_findings(tmp_path: Path) -> None:
    for family in (
        _family(),
        _family({}),
        _family({"cascade": "all, delete-orphan"}, ondelete="CASCADE"),
        _family({}, ondelete="SET NULL"),
    ):
        assert _findings(tmp_path, family[1]) == []


def test_a_missing_attribute_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    class Misspelled(EntityEvent):
        parent_idd: int

    _, child = _family()
    publishes("out-child", Misspelled)(child)

    assert _findings(tmp_path, child) == [
        "error  event Misspelled has the field 'parent_idd', but Child has no attribute of that name; did you "
        "mean 'parent_id'? To map names or to compute, use @publishes(..., build=...)"
    ]


def test_with_build_no_attribute_is_missing(tmp_path: Path) -> None:
    class Free(EntityEvent):
        anything: int

    _, child = _family()
    publishes("out-child", Free, build=lambda _, job: Free(anything=1, job_type=JobType(job)))(child)

    assert _findings(tmp_path, child) == []


def test_an_attribute_that_the_class_itself_cannot_compute_is_not_missing(tmp_path: Path) -> None:
    class Computed(EntityEvent):
        half: int
        bits: int

    _, child = _family()
    child.half = hybrid_property(lambda entity: int(entity.id) // 2)  # type: ignore[attr-defined]
    child.bits = hybrid_property(lambda entity: entity.id.bit_length())  # type: ignore[attr-defined]
    publishes("out-child", Computed)(child)

    assert _findings(tmp_path, child) == []


def test_a_binding_that_is_not_there_or_direct(tmp_path: Path) -> None:
    _, child = _family()
    publishes("out-children", ChildChanged)(child)

    assert _findings(tmp_path, child, publish=Publish.DIRECT) == [
        "error  Child is published to out-children, which is not an output binding; did you mean 'out-child'?",
        "error  Child is published to out-child, whose producer.publish is direct: an entity's events leave with "
        "its transaction; set outbox or after-commit",
    ]


def test_a_class_that_is_not_mapped(tmp_path: Path) -> None:
    @publishes("out-child", ChildChanged)
    class Plain:
        pass

    [finding] = _findings(tmp_path, Plain)

    assert "Plain is published, but SQLAlchemy does not map it" in finding


def test_deletes_by_the_database_are_found(tmp_path: Path) -> None:
    for family in (
        _family(ondelete="CASCADE"),
        _family({}, ondelete="cascade"),
        _family({"cascade": "all", "viewonly": False, "passive_deletes": True}, ondelete="CASCADE"),
    ):
        findings = _findings(tmp_path, family[1])
        assert "ON DELETE CASCADE: the database would delete rows without events" in findings[0]
        assert "cascade='all, delete-orphan'" in findings[0]


def test_deletes_by_the_database_are_found_through_other_tables(tmp_path: Path) -> None:
    mapped = registry(metadata=MetaData())
    houses = Table("house", mapped.metadata, Column("id", Integer, primary_key=True))
    rooms = Table(
        "room",
        mapped.metadata,
        Column("id", Integer, primary_key=True),
        Column("house_id", ForeignKey("house.id", ondelete="CASCADE")),
    )
    chairs = Table(
        "chair",
        mapped.metadata,
        Column("id", Integer, primary_key=True),
        Column("parent_id", ForeignKey("room.id", ondelete="CASCADE")),
    )

    class House:
        pass

    class Room:
        pass

    @publishes("out-child", ChildChanged)
    class Chair:
        pass

    mapped.map_imperatively(Chair, chairs)
    mapped.map_imperatively(Room, rooms, properties={"chairs": relationship(Chair, cascade="all, delete-orphan")})
    lazy = relationship(Room, cascade="all", passive_deletes=True)
    mapped.map_imperatively(House, houses, properties={"rooms": lazy})

    [finding] = _findings(tmp_path, Chair)

    assert "the foreign key of room to house is ON DELETE CASCADE" in finding
    assert "and its rows with those of room" in finding


def test_deletes_left_to_the_database_are_found(tmp_path: Path) -> None:
    _, child = _family({"passive_deletes": True})

    [finding] = _findings(tmp_path, child)

    assert "Parent.children leaves deletes to the database (passive_deletes)" in finding


def test_foreign_keys_set_by_the_database_are_found_if_an_event_has_them(tmp_path: Path) -> None:
    class WithoutKey(EntityEvent):
        id: int

    _, child = _family(ondelete="SET NULL")
    [finding] = _findings(tmp_path, child)
    assert "ON DELETE SET NULL: the database would change rows without events" in finding

    _, child = _family(ondelete="SET NULL")
    child.__streambind_publications__ = ()  # type: ignore[attr-defined]
    publishes("out-child", WithoutKey)(child)
    assert _findings(tmp_path, child) == []


def test_keys_updated_by_the_database_are_a_warning(tmp_path: Path) -> None:
    _, child = _family(onupdate="CASCADE")

    [finding] = _findings(tmp_path, child)

    assert finding.startswith("warning  Child is published, but its foreign key to parent is ON UPDATE CASCADE")


def test_a_published_table_that_is_a_secondary_table_is_found(tmp_path: Path) -> None:
    mapped = registry(metadata=MetaData())
    users = Table("user", mapped.metadata, Column("id", Integer, primary_key=True))
    links = Table(
        "link",
        mapped.metadata,
        Column("id", Integer, primary_key=True),
        Column("parent_id", ForeignKey("user.id")),
        Column("other_id", ForeignKey("user.id")),
    )

    class User:
        pass

    @publishes("out-child", ChildChanged)
    class Link:
        pass

    friends = relationship(
        User,
        secondary=links,
        primaryjoin=users.c.id == links.c.parent_id,
        secondaryjoin=users.c.id == links.c.other_id,
    )
    mapped.map_imperatively(User, users, properties={"friends": friends})
    mapped.map_imperatively(Link, links)

    [finding] = _findings(tmp_path, Link)

    assert "User.friends writes its table as a secondary table" in finding


def test_two_published_classes_on_one_table_are_found(tmp_path: Path) -> None:
    _, child = _family()

    @publishes("out-child", ChildChanged)
    class Shadow:
        pass

    registry().map_imperatively(Shadow, child.__table__)  # type: ignore[attr-defined]
    configure_mappers()

    [finding] = _findings(tmp_path, child, Shadow)

    assert "Child and Shadow are both published and both mapped to child" in finding


def test_a_class_in_another_database_is_found(tmp_path: Path) -> None:
    _, child = _family()
    other = create_engine(f"sqlite:///{tmp_path / 'other.db'}")

    [finding] = _findings(tmp_path, child, binds={child: other})

    assert "other.db" in finding
    assert "can only commit together in one database" in finding


def test_a_key_that_is_no_function(tmp_path: Path) -> None:
    _, child = _family()
    wrong: Any = "parent_id"
    child.__streambind_publications__ = ()  # type: ignore[attr-defined]
    publishes("out-child", ChildChanged, key=wrong)(child)

    [finding] = _findings(tmp_path, child)

    assert "published to out-child with key='parent_id', which cannot be called; write a function" in finding
