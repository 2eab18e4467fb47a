"""Which replicas of one class would take each other's rows for their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from streambind.event import EntityEvent
from streambind.inbound.replica_rivals import rivals_of
from streambind.inbound.replicates import replicas_of, replicates


class Changed(EntityEvent):
    id: int
    name: str
    price: int


Mark = Callable[[type], type]
NAME = replicates("in-name", Changed, owns="name", deletes="row")
PRICE = replicates("in-price", Changed, owns="price", deletes="row")
ALL = replicates("in-all", Changed, owns=["name", "price"], deletes="row")
KEYS = replicates("in-keys", Changed, owns="id", deletes="row")
GONE_NAME = replicates("in-name", Changed, owns="name", soft_delete="is_gone")
GONE_PRICE = replicates("in-price", Changed, owns="price", soft_delete="is_gone")


def copied(*marks: Mark) -> type:
    class Base(DeclarativeBase):
        pass

    class Copy(Base):
        __tablename__ = "copy"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None]
        price: Mapped[int | None]
        is_gone: Mapped[bool] = mapped_column(default=False)

    for mark in marks:
        mark(Copy)
    return Copy


@pytest.mark.parametrize(
    ("marks", "rivals"),
    [
        ([NAME], {"in-name": []}),
        ([NAME, PRICE], {"in-name": [], "in-price": []}),
        ([NAME, PRICE, ALL], {"in-name": ["in-all"], "in-price": ["in-all"], "in-all": ["in-name", "in-price"]}),
        ([NAME, KEYS], {"in-name": ["in-keys"], "in-keys": ["in-name"]}),
        ([GONE_NAME, GONE_PRICE], {"in-name": ["in-price"], "in-price": ["in-name"]}),
    ],
    ids=["alone", "a column each", "both columns", "nothing but keys", "one mark of both's deletions"],
)
def test_whoever_fills_the_same_columns_or_none_is_a_rival(marks: list[Any], rivals: dict[str, list[str]]) -> None:
    found = {mark.binding: sorted(rivals_of(mark)) for mark in replicas_of(copied(*marks))}
    assert found == rivals
