"""Which columns a replica fills from what, and the mistakes that are found before anything runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, create_model
from sqlalchemy import Computed, DateTime, ForeignKey, Identity, Index, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from streambind.errors import PermanentError
from streambind.event import EntityEvent
from streambind.inbound.replica_columns import read_columns
from streambind.inbound.replica_plan import ReplicaPlan
from streambind.inbound.replicates import replicas_of, replicates


class Changed(EntityEvent):
    id: int
    full_name: str
    note: str | None = None


def mapped(**columns: Any) -> type:
    """A class mapped to a table with an `id` and these columns: types, or pairs of type and column."""

    class Base(DeclarativeBase):
        pass

    namespace: dict[str, Any] = {"__tablename__": "thing", "__annotations__": {"id": Mapped[int]}}
    namespace["id"] = mapped_column(primary_key=True)
    for name, column in columns.items():
        annotation, namespace[name] = column if isinstance(column, tuple) else (column, mapped_column())
        namespace["__annotations__"][name] = Mapped[annotation]  # type: ignore[valid-type]
    return type("Thing", (Base,), namespace)


def mistakes(cls: type, event: Any = Changed, **settings: Any) -> list[str]:
    replicates("in-things", event, **settings)(cls)
    found = read_columns(replicas_of(cls)[0])
    return [finding.text for finding in found.mistakes]


def plan(cls: type, event: Any = Changed, **settings: Any) -> ReplicaPlan:
    assert mistakes(cls, event, **settings) == []
    return ReplicaPlan.of(read_columns(replicas_of(cls)[0]))


def changed(**fields: Any) -> Changed:
    return Changed.model_validate({"job_type": "INSERT", "id": 1, "full_name": "Ada", **fields})


def row(replica: ReplicaPlan, event: BaseModel) -> dict[str, Any]:
    return dict(zip(replica.attributes, replica.row_of(event), strict=True))


def test_fields_go_to_columns_of_their_name() -> None:
    replica = plan(mapped(full_name=str, note=str | None))
    assert row(replica, changed(note="x")) == {"id": 1, "full_name": "Ada", "note": "x"}
    assert replica.key_of(changed()) == (1,)


def test_a_key_whose_column_takes_null_is_filled_from_a_field_that_is_never_null() -> None:
    replica = plan(mapped(full_name=(str | None, mapped_column(unique=True))), key="full_name")
    assert replica.key_of(changed()) == ("Ada",)


def test_fields_go_to_columns_of_their_alias() -> None:
    replica = plan(mapped(fullName=str))
    assert row(replica, changed()) == {"id": 1, "fullName": "Ada"}


def test_fields_go_to_columns_whose_name_in_the_table_is_theirs() -> None:
    replica = plan(mapped(name=(str, mapped_column("full_name"))))
    assert row(replica, changed()) == {"id": 1, "name": "Ada"}


def test_a_field_of_the_columns_name_comes_before_one_with_it_as_alias() -> None:
    event = create_model("Named", id=(int, ...), old=(str, Field(alias="name")), name=(str, ...))
    assert plan(mapped(name=str), event).sources == ("id", "name")


def test_columns_names_what_differs_and_transform_computes() -> None:
    replica = plan(
        mapped(name=str, initial=str),
        columns={"name": "full_name"},
        transform={"initial": lambda event: event.full_name[0]},
    )
    assert row(replica, changed()) == {"id": 1, "name": "Ada", "initial": "A"}


def test_a_key_may_be_computed_and_come_in_any_order() -> None:
    replica = plan(
        mapped(code=(str, mapped_column(unique=True)), full_name=str),
        owns=["full_name"],
        deletes="row",
        key="code",
        transform={"code": lambda event: f"c{event.id}"},
    )
    assert row(replica, changed()) == {"code": "c1", "full_name": "Ada"}
    assert replica.key_of(changed()) == ("c1",)


def test_a_single_column_may_be_named_as_text() -> None:
    cls = mapped(full_name=str)
    (mark,) = replicas_of(replicates("in-x", Changed, key="id", owns="full_name")(cls))
    assert (mark.key, mark.owns) == (("id",), ("full_name",))


def test_a_number_that_the_database_gives_needs_no_field() -> None:
    class Named(EntityEvent):
        code: str

    replica = plan(mapped(code=(str, mapped_column(unique=True))), Named, key="code")
    assert replica.attributes == ("code",)


def test_an_identity_column_needs_no_field() -> None:
    class Named(EntityEvent):
        code: str

    cls = mapped(code=(str, mapped_column(unique=True)), place=(int, mapped_column(Identity())))
    assert plan(cls, Named, key="code").attributes == ("code",)


@pytest.mark.parametrize("given", [{"server_default": "0"}, {"default": 0}, {"nullable": True}, {"default": int}])
def test_a_column_that_is_somebody_elses_needs_a_value_in_new_rows(given: dict[str, Any]) -> None:
    replica = plan(mapped(full_name=str, price=(int, mapped_column(**given))), owns=["full_name"], deletes="row")
    assert replica.attributes == ("id", "full_name")


def test_a_field_of_any_type_may_fill_a_column_that_takes_no_null() -> None:
    event = create_model("Told", id=(int, ...), full_name=(Any, ...))
    assert plan(mapped(full_name=str), event).sources == ("id", "full_name")


def test_an_event_class_of_others_will_do() -> None:
    class Foreign(BaseModel):
        model_config = ConfigDict(populate_by_name=True)
        id: int
        name: str = Field(alias="fullName")

    replica = plan(mapped(fullName=str), Foreign)
    event = Foreign(id=2, name="Ada")
    assert row(replica, event) == {"id": 2, "fullName": "Ada"}
    assert not replica.removes(event)


@pytest.mark.parametrize("alias", ["serialization_alias", "validation_alias"])
def test_either_alias_of_a_field_names_its_column(alias: str) -> None:
    settings: dict[str, Any] = {alias: "shownAs"}
    event = create_model("Named", id=(int, ...), name=(str, Field(**settings)))
    replica = plan(mapped(shownAs=str), event)
    assert replica.sources == ("id", "name")


def test_a_column_that_the_database_computes_needs_no_field() -> None:
    replica = plan(mapped(full_name=str, length=(int, mapped_column(Computed("length(full_name)")))))
    assert replica.attributes == ("id", "full_name")


@pytest.mark.parametrize(("job", "deletes"), [("INSERT", False), ("UPDATE", False), ("DELETE", True)])
def test_a_job_may_be_text(job: str, deletes: bool) -> None:
    event = create_model("Told", id=(int, ...), full_name=(str, ...), job_type=(str, ...))
    replica = plan(mapped(full_name=str), event)
    assert replica.removes(event(id=1, full_name="Ada", job_type=job)) is deletes


@pytest.mark.parametrize(
    "field",
    [
        {"jobType": (str, ...)},
        {"job": (str, Field(alias="jobType"))},
        {"job": (str, Field(validation_alias="jobType"))},
    ],
    ids=["name", "alias", "validation alias"],
)
def test_a_job_is_found_by_its_name_on_the_wire(field: dict[str, Any]) -> None:
    event = create_model("Told", id=(int, ...), full_name=(str, ...), **field)
    replica = plan(mapped(full_name=str), event)
    told = {"id": 1, "full_name": "Ada"}
    assert replica.removes(event.model_validate({**told, "jobType": "DELETE"}))
    assert not replica.removes(event.model_validate({**told, "jobType": "UPDATE"}))


def test_where_two_fields_may_be_the_job_that_of_entity_events_is() -> None:
    event = create_model("Told", id=(int, ...), full_name=(str, ...), jobType=(str, ...), job_type=(str, ...))
    replica = plan(mapped(full_name=str), event)
    assert replica.removes(event(id=1, full_name="Ada", jobType="UPDATE", job_type="DELETE"))


@pytest.mark.parametrize("job", ["RENAME", "insert", "", None, 1])
def test_a_job_that_is_none_of_the_known_is_refused_for_good(job: object) -> None:
    event = create_model("Told", id=(int, ...), full_name=(str, ...), job_type=(Any, ...))
    replica = plan(mapped(full_name=str), event)
    with pytest.raises(PermanentError, match="is none of INSERT, UPDATE and DELETE"):
        replica.removes(event(id=1, full_name="Ada", job_type=job))


@pytest.fixture
def seoul(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process's own clock is nine hours ahead of UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Seoul")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("seoul")
@pytest.mark.parametrize(("has_zone", "zone"), [(True, UTC), (False, None)])
def test_the_time_of_a_soft_delete_is_utc_and_has_a_zone_where_the_column_has_one(
    has_zone: bool, zone: tzinfo | None
) -> None:
    gone = (datetime | None, mapped_column(DateTime(timezone=has_zone)))
    replica = plan(mapped(full_name=str, gone=gone), soft_delete="gone")
    assert replica.cleared_at(1_660_000_000_000) == (datetime(2022, 8, 8, 23, 6, 40, tzinfo=zone),)
    assert row(replica, changed())["gone"] is None


@pytest.mark.parametrize("has_zone", [False, True])
def test_a_deletion_at_a_time_that_there_is_not_is_one(has_zone: bool) -> None:
    """A sender writes microseconds where milliseconds belong."""
    gone = (datetime | None, mapped_column(DateTime(timezone=has_zone)))
    replica = plan(mapped(full_name=str, gone=gone), soft_delete="gone")
    for timestamp_ms, year in ((1_700_000_000_000_000, 9999), (-(10**15), 1), (2**63 - 1, 9999), (-1, 1969)):
        (at,) = replica.cleared_at(timestamp_ms)
        assert (at.year, at.tzinfo is not None) == (year, has_zone)


def test_a_class_that_is_not_ones_own_is_marked_by_a_call() -> None:
    cls = mapped(full_name=str, note=str | None)
    assert replicates("in-a", Changed)(cls) is cls
    replicates("in-b", Changed)(cls)
    assert [mark.binding for mark in replicas_of(cls)] == ["in-b", "in-a"]


def test_a_mark_concerns_the_class_alone_and_not_those_below_it() -> None:
    cls: type = replicates("in-a", Changed)(mapped(full_name=str))
    assert replicas_of(type("Below", (cls,), {})) == ()


class Plain:
    pass


def _inherited() -> type:
    class Base(DeclarativeBase):
        pass

    class Parent(Base):
        __tablename__ = "parent"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "p"}  # noqa: RUF012
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]

    return Parent


def _joined() -> type:
    class Base(DeclarativeBase):
        pass

    class Above(Base):
        __tablename__ = "above"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Below(Above):
        __tablename__ = "below"
        id: Mapped[int] = mapped_column(ForeignKey("above.id"), primary_key=True)
        full_name: Mapped[str]

    return Below


async def _waits(event: Changed) -> str:
    return event.full_name


WRONG: dict[str, tuple[Callable[[], type], dict[str, Any], str]] = {
    "no event": (lambda: mapped(full_name=str), {"event": dict}, "is no event class; give one of EntityEvent"),
    "not mapped": (lambda: Plain, {}, "SQLAlchemy does not map it"),
    "inheritance": (_inherited, {}, "shares its rows with other classes"),
    "inheritance without a kind": (_joined, {}, "shares its rows with other classes"),
    "column without field": (
        lambda: mapped(fulname=str),
        {},
        "column 'fulname' has no field in Changed; did you mean 'full_name'?; name it with "
        'columns={"fulname": "field"}, compute it with transform=, or leave it out by naming the columns that '
        "this source fills with owns=",
    ),
    "owned column without field": (
        lambda: mapped(price=int | None),
        {"owns": ["price"]},
        'column \'price\' has no field in Changed; name it with columns={"price": "field"}, compute it with '
        "transform=",
    ),
    "key without field": (
        lambda: mapped(code=(str, mapped_column(unique=True))),
        {"key": "code"},
        "key column 'code' has no field in Changed",
    ),
    "key that is not unique": (
        lambda: mapped(full_name=str),
        {"key": "full_name"},
        "its key (full_name) is neither the primary key nor unique",
    ),
    "key that may be null": (
        lambda: mapped(full_name=str, code=(str | None, mapped_column(unique=True))),
        {"key": "code", "transform": {"code": lambda event: event.note}},
        "key column 'code' may be null, and rows are not found by null",
    ),
    "unknown column": (
        lambda: mapped(full_name=str),
        {"owns": ["ful_name"]},
        "owns names 'ful_name', but Thing has no such column; did you mean 'full_name'?",
    ),
    "unknown field": (
        lambda: mapped(full_name=str),
        {"columns": {"full_name": "fullname"}},
        "columns takes 'full_name' from 'fullname', but Changed has no such field; did you mean 'full_name'?",
    ),
    "turned round": (
        lambda: mapped(name=str),
        {"columns": {"name": "name"}},
        "from 'name', but Changed has no such field (columns= goes from column to field)",
    ),
    "both": (
        lambda: mapped(name=str),
        {"columns": {"name": "full_name"}, "transform": {"name": len}},
        "'name' is both in columns and in transform",
    ),
    "no function": (lambda: mapped(name=str), {"transform": {"name": "full_name"}}, "no ordinary function"),
    "a coroutine": (lambda: mapped(name=str), {"transform": {"name": _waits}}, "no ordinary function"),
    "no function of rows": (
        lambda: mapped(full_name=str),
        {"where": "full_name"},
        "where='full_name' is no ordinary function of the event",
    ),
    "null": (
        lambda: mapped(full_name=str, note=str),
        {},
        "column 'note' takes no null, but field 'note' of Changed may be null",
    ),
    "no row could be inserted": (
        lambda: mapped(full_name=str, price=int),
        {"owns": ["full_name"]},
        "column 'price' is not filled by this source, takes no null and has no default: no row could be inserted",
    ),
    "nothing to put back": (
        lambda: mapped(full_name=str, price=(int, mapped_column(default=0))),
        {"owns": ["full_name"]},
        "a DELETE puts back the columns of this source, but 'full_name' takes no null and has no plain default",
    ),
    "nothing owned": (
        lambda: mapped(full_name=str | None),
        {"owns": ["id"]},
        "it fills none beside its key",
    ),
    "deletes": (lambda: mapped(full_name=str), {"deletes": "rows"}, "deletes='rows' is neither"),
    "two ways to delete": (
        lambda: mapped(full_name=str, gone=bool),
        {"deletes": "row", "soft_delete": "gone"},
        "deletes and soft_delete both say what a DELETE does",
    ),
    "soft delete of a text": (
        lambda: mapped(full_name=str, gone=str),
        {"soft_delete": "gone"},
        "soft_delete names 'gone', which is neither a boolean nor a time",
    ),
    "soft delete without a way back": (
        lambda: mapped(full_name=str, gone=datetime),
        {"soft_delete": "gone"},
        "soft_delete names the time 'gone', which takes no null",
    ),
    "soft delete of the key": (
        lambda: mapped(full_name=str),
        {"soft_delete": "id"},
        "soft_delete sets 'id': it cannot be filled from the event too",
    ),
    "soft delete of an owned column": (
        lambda: mapped(full_name=str, gone=bool),
        {"soft_delete": "gone", "owns": ["full_name", "gone"]},
        "soft_delete sets 'gone': it cannot be filled from the event too",
    ),
    "soft delete of a computed column": (
        lambda: mapped(full_name=str, gone=bool),
        {"soft_delete": "gone", "transform": {"gone": lambda event: False}},
        "soft_delete sets 'gone': it cannot be filled from the event too",
    ),
    "soft delete of a filled column": (
        lambda: mapped(full_name=str, note=(datetime | None, mapped_column(DateTime))),
        {"soft_delete": "note", "columns": {"note": "note"}},
        "soft_delete sets 'note': it cannot be filled from the event too",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_told_with_its_remedy(case: str) -> None:
    make, settings, text = WRONG[case]
    found = mistakes(make(), **settings)
    assert any(text in each for each in found), found
    assert all(each.startswith("replica ") for each in found)


def test_all_mistakes_are_told_at_once() -> None:
    assert len(mistakes(mapped(a=str, b=int, note=str))) == 3


def test_unique_constraints_and_indexes_make_a_key() -> None:
    class Base(DeclarativeBase):
        pass

    class Constrained(Base):
        __tablename__ = "constrained"
        __table_args__ = (UniqueConstraint("full_name", "note"),)
        row: Mapped[int] = mapped_column(primary_key=True)
        id: Mapped[int]
        full_name: Mapped[str]
        note: Mapped[str | None]

    class Indexed(Base):
        __tablename__ = "indexed"
        __table_args__ = (
            Index("own", "id", unique=True),
            Index("part", "full_name", unique=True, sqlite_where=True),
        )
        row: Mapped[int] = mapped_column(primary_key=True)
        id: Mapped[int]
        full_name: Mapped[str]

    class Named(EntityEvent):
        id: int
        full_name: str
        note: str

    assert mistakes(Constrained, Named, key=("note", "full_name")) == []
    assert mistakes(Indexed, Named, key="id") == []
    assert "neither the primary key nor unique" in mistakes(Indexed, Named, key="full_name")[0]


@pytest.mark.parametrize("name", ["columns", "transform"])
def test_what_is_no_mapping_is_refused_with_one_that_is(name: str) -> None:
    with pytest.raises(TypeError, match=rf"replicates\('in-x'\): {name} takes a mapping like .*, not 'article'"):
        replicates("in-x", Changed, **{name: "article"})  # type: ignore[arg-type]
