"""Which replica a command is about."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from streambind import EntityEvent, StreamApplication, replicates
from streambind.cli.replicas import replica_of
from streambind.cli.target import Target
from streambind.errors import ConfigurationError

CONFIGURATION = """
spring.cloud.stream:
  defaultBinder: memory
  bindings:
    in-a: {destination: a, group: g}
    in-b: {destination: b, group: g, consumer.sequence: ignore}
streambind.datasource.url: sqlite:///never-opened.db
"""


class Base(DeclarativeBase):
    pass


class OtherBase(DeclarativeBase):
    pass


class Changed(EntityEvent):
    id: int


@replicates("in-a", Changed)
class Shown(Base):
    __tablename__ = "shown"
    id: Mapped[int] = mapped_column(primary_key=True)


class Other:
    @replicates("in-a", Changed)
    class Shown(OtherBase):
        __tablename__ = "other_shown"
        id: Mapped[int] = mapped_column(primary_key=True)


@replicates("in-b", Changed)
class Alone(Base):
    __tablename__ = "alone"
    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture
def target(tmp_path: Path) -> Target:
    (tmp_path / "application.yaml").write_text(CONFIGURATION)
    application = StreamApplication(tmp_path, include=[Shown, Other.Shown, Alone], arguments=())
    return Target(application.configuration, application)


@pytest.mark.parametrize(
    ("binding", "name", "found"),
    [
        ("in-b", None, Alone),
        ("inB", "Alone", Alone),
        ("in-a", "Other.Shown", Other.Shown),
        ("in-a", f"{__name__}.Shown", Shown),
    ],
)
def test_a_replica_goes_by_each_of_its_names(target: Target, binding: str, name: str | None, found: type) -> None:
    assert replica_of(target, binding, name).plan.mark.declared_on is found


def test_a_replica_has_what_its_binding_says(target: Target) -> None:
    shown, alone = replica_of(target, "in-a", "Other.Shown"), replica_of(target, "in-b", None)
    assert (shown.binding, shown.group, shown.destinations, shown.trusts) == ("in-a", "g", ("a",), True)
    assert (alone.binding, alone.group, alone.destinations, alone.trusts) == ("in-b", "g", ("b",), False)


@pytest.mark.parametrize("name", [None, "Shown"])
def test_where_several_are_meant_all_of_them_are_named_apart(target: Target, name: str | None) -> None:
    with pytest.raises(ConfigurationError) as caught:
        replica_of(target, "in-a", name)
    assert str(caught.value) == (
        f"in-a has several such replicas: name one of these with --class: {__name__}.Other.Shown, {__name__}.Shown"
    )


@pytest.mark.parametrize(("binding", "name"), [("in-c", None), ("in-b", "Shown")])
def test_where_none_is_meant_all_that_there_are_are_named(target: Target, binding: str, name: str | None) -> None:
    with pytest.raises(ConfigurationError) as caught:
        replica_of(target, binding, name)
    assert str(caught.value) == (
        f"{binding} has no such replica; replicas are: in-a ({__name__}.Other.Shown), in-a ({__name__}.Shown), "
        "in-b (Alone)"
    )
