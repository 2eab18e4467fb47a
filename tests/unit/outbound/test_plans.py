"""From a change of an entity to its messages."""

from __future__ import annotations

import json
from datetime import UTC
from typing import Any, Self

import pytest
from pydantic import model_validator
from sqlalchemy import inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from streambind.conversion import JSON
from streambind.event import EntityEvent, JobType
from streambind.outbound.event_ids import event_ids
from streambind.outbound.outgoing import OutputPlan
from streambind.outbound.plans import Change, Plans
from streambind.outbound.publishes import publishes


class Base(DeclarativeBase):
    pass


class Checked(EntityEvent):
    id: int

    @model_validator(mode="after")
    def check(self) -> Self:
        return None  # type: ignore[return-value]  # Forgotten, which costs a warning.


class Upper(EntityEvent):
    id: int
    name: str

    def __init__(self, *, name: str, **rest: Any) -> None:
        super().__init__(name=name.upper(), **rest)


@publishes("out-checked", Checked)
@publishes("out-upper", Upper)
class Lecture(Base):
    __tablename__ = "lecture"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@pytest.mark.filterwarnings("ignore:A custom validator:UserWarning")
def test_an_event_is_what_its_class_makes_when_it_is_called() -> None:
    outputs = {name: OutputPlan(name, name, JSON.encoder(UTC)) for name in ("out-checked", "out-upper")}
    plan = Plans([Lecture], outputs).of(inspect(Lecture))

    checked, upper = plan.messages(Change(JobType.INSERT, Lecture(id=1, name="a")), event_ids(2))

    assert checked.payload is not None
    assert upper.payload is not None
    assert json.loads(checked.payload)["id"] == 1
    assert json.loads(upper.payload)["name"] == "A"
