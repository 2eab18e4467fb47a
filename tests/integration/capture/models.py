"""The entities of these tests, in every way that SQLAlchemy maps one."""

# ruff: noqa: RUF012, A003 - SQLAlchemy's way of declaring: __mapper_args__, and columns named id

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, String, Table, text
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    mapped_column,
    registry,
    relationship,
)

from streambind.event import EntityEvent, JobType
from streambind.outbound.publishes import publishes


class Base(DeclarativeBase):
    type_annotation_map = {str: String(100)}


class LectureCategoryChanged(EntityEvent):
    category_id: int
    category_name: str


@publishes("out-categoryChanged", LectureCategoryChanged)
class LectureCategory(Base):
    __tablename__ = "lecture_category"
    category_id: Mapped[int] = mapped_column(primary_key=True)
    category_name: Mapped[str]
    remark: Mapped[str | None]
    lectures: Mapped[list[Lecture]] = relationship(back_populates="category", cascade="all, delete-orphan")


class LectureChanged(EntityEvent):
    lecture_id: int
    title: str
    category_id: int | None


@publishes("out-lectureChanged", LectureChanged)
class Lecture(Base):
    __tablename__ = "lecture"
    lecture_id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    category_id: Mapped[int | None] = mapped_column(ForeignKey("lecture_category.category_id"))
    category: Mapped[LectureCategory | None] = relationship(back_populates="lectures")


class SeatChanged(EntityEvent):
    room: str
    number: int
    guest: str | None
    state: str
    notes: str | None


@publishes("out-seatChanged", SeatChanged)
@publishes("out-roomChanged", SeatChanged, key=lambda seat: seat.room)
class Seat(Base):
    """A composite key, a coarser key beside it, a server default and a deferred column."""

    __tablename__ = "seat"
    room: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    guest: Mapped[str | None]
    state: Mapped[str] = mapped_column(server_default=text("'free'"))
    notes: Mapped[str | None] = mapped_column(deferred=True)


class NodeChanged(EntityEvent):
    id: int
    name: str


@publishes("out-nodeChanged", NodeChanged)
class Node(Base):
    """A row that points to one of the rows that point to it: written with a second UPDATE."""

    __tablename__ = "node"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    favourite_id: Mapped[int | None] = mapped_column(ForeignKey("node.id"))
    favourite: Mapped[Node | None] = relationship(foreign_keys=favourite_id, remote_side=id, post_update=True)


class AnimalChanged(EntityEvent):
    id: int
    name: str


class DogChanged(EntityEvent):
    id: int
    name: str
    breed: str | None


@publishes("out-animalChanged", AnimalChanged)
class Animal(Base):
    __tablename__ = "animal"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(String(10))
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}


@publishes("out-animalChanged", DogChanged)
class Dog(Animal):
    breed: Mapped[str | None] = mapped_column(nullable=True)
    __mapper_args__ = {"polymorphic_identity": "dog"}


class Cat(Animal):
    """Published by what it inherits."""

    __mapper_args__ = {"polymorphic_identity": "cat"}


class Vehicle(Base):
    __tablename__ = "vehicle"
    id: Mapped[int] = mapped_column(primary_key=True)
    maker: Mapped[str]
    kind: Mapped[str] = mapped_column(String(10))
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "vehicle"}


class CarChanged(EntityEvent):
    id: int
    maker: str
    doors: int


@publishes("out-carChanged", CarChanged)
class Car(Vehicle):
    """Two tables."""

    __tablename__ = "car"
    id: Mapped[int] = mapped_column(ForeignKey("vehicle.id"), primary_key=True)
    doors: Mapped[int]
    __mapper_args__ = {"polymorphic_identity": "car"}


class PointChanged(EntityEvent):
    id: int
    x: int


class DataclassBase(MappedAsDataclass, DeclarativeBase):
    pass


@publishes("out-pointChanged", PointChanged)
class Point(DataclassBase):
    """Mapped as a dataclass: points of one x are equal."""

    __tablename__ = "point"
    id: Mapped[int] = mapped_column(primary_key=True, compare=False)
    x: Mapped[int]


@publishes("out-pointChanged", PointChanged)
class Spot:
    """Mapped imperatively, and only after it was published."""

    def __init__(self, id: int, x: int) -> None:  # noqa: A002
        self.id = id
        self.x = x


imperative = registry()
imperative.map_imperatively(
    Spot, Table("spot", imperative.metadata, Column("id", Integer, primary_key=True), Column("x", Integer))
)


class TicketChanged(EntityEvent):
    id: int
    tenant: str
    title: str


@publishes("out-ticketChanged", TicketChanged, key=lambda ticket: ticket.tenant)
class Ticket(Base):
    """Its key is none of its primary key."""

    __tablename__ = "ticket"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    title: Mapped[str]


class Person(Base):
    """Not published, but some of its subclasses are."""

    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(String(10))
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}


class TeacherChanged(EntityEvent):
    id: int
    name: str


@publishes("out-teacherChanged", TeacherChanged)
class Teacher(Person):
    __mapper_args__ = {"polymorphic_identity": "teacher"}


class Pupil(Person):
    __mapper_args__ = {"polymorphic_identity": "pupil"}


class Summary(EntityEvent):
    id: int
    label: str


def shout(text: Any) -> str:
    loud: str = text.upper()
    return loud


def summarize(task: Task, job: JobType) -> Summary | None:
    """Hidden tasks stay hidden."""
    return None if task.hidden else Summary(id=task.id, label=shout(task.label), job_type=job)


@publishes("out-summary", Summary, build=summarize)
class Task(Base):
    __tablename__ = "task"
    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str | None]
    hidden: Mapped[bool] = mapped_column(default=False)


class Album(Base):
    """Not published; its pages are, and the database deletes them with it."""

    __tablename__ = "album"
    id: Mapped[int] = mapped_column(primary_key=True)
    pages: Mapped[list[Page]] = relationship(cascade="all, delete-orphan")


class PageChanged(EntityEvent):
    id: int
    album_id: int


@publishes("out-pageChanged", PageChanged)
class Page(Base):
    __tablename__ = "page"
    id: Mapped[int] = mapped_column(primary_key=True)
    album_id: Mapped[int] = mapped_column(ForeignKey("album.id", ondelete="CASCADE"))


class Bystander(Base):
    """Not published."""

    __tablename__ = "bystander"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


CLASSES = [LectureCategory, Lecture, Seat, Node, Animal, Dog, Car, Point, Spot, Task, Page, Ticket, Teacher]
METADATA = [Base.metadata, DataclassBase.metadata, imperative.metadata]
