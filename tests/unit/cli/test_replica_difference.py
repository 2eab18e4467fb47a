"""What commands say of replicas: the same to people and to machines."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from streambind import EntityEvent, replicates
from streambind.cli.replica_difference import Mending, difference_document, show_difference, show_swap
from streambind.configuration.properties import ConsumerProperties
from streambind.inbound.limits import Limits
from streambind.inbound.replica_columns import read_columns
from streambind.inbound.replica_plan import ReplicaPlan
from streambind.inbound.replicates import replicas_of
from streambind.replicas.comparison import Difference
from streambind.replicas.replica import Replica


class Base(DeclarativeBase):
    pass


class ItemChanged(EntityEvent):
    id: int
    name: str


@replicates("in-items", ItemChanged, soft_delete="is_gone")
class Kept(Base):
    __tablename__ = "kept"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    is_gone: Mapped[bool]


@replicates("in-items", ItemChanged, owns=["name"])
class Shared(Base):
    __tablename__ = "shared"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None]


def replica(cls: type) -> Replica:
    (mark,) = replicas_of(cls)
    plan = ReplicaPlan.of(read_columns(mark))
    limits = Limits.of(ConsumerProperties())
    return Replica(plan, "in-items", "readers", ("items",), "application/json", UTC, limits)


def difference(missing: int = 0, extra: int = 0, wrong: int = 0, *, idle: int = 0) -> Difference:
    return Difference(6, 10, missing, extra, wrong, idle, {})


@pytest.mark.parametrize(
    ("cls", "idle", "told"),
    [
        (Kept, 4, "equal  Kept: 10 rows in the table (4 of them kept as deleted), 6 expected"),
        (Shared, 4, "equal  Shared: 10 rows in the table (4 of them only of other sources), 6 expected"),
        (
            Kept,
            0,
            "equal  Kept: 10 rows in the table, 6 expected\n"
            "rows came and went meanwhile: the two numbers are of different moments",
        ),
    ],
)
def test_rows_that_hold_nothing_of_it_are_told_apart(
    capsys: pytest.CaptureFixture[str], cls: type, idle: int, told: str
) -> None:
    show_difference(replica(cls), difference(idle=idle))
    assert capsys.readouterr().out == f"{told}\n"
    document = difference_document(replica(cls), difference(idle=idle))
    assert (document["rows"], document["idle"], document["expected"]) == (10, idle, 6)


def test_keys_that_are_not_shown_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    show_difference(replica(Kept), Difference(6, 6, 3, 0, 2, 0, {"missing": [(1,), (2,)], "wrong": [(3,)]}))
    assert capsys.readouterr().out.endswith("\nand 2 rows more (--limit)\n")
    show_difference(replica(Kept), Difference(6, 6, 1, 0, 0, 0, {"missing": [(1,)]}))
    assert "(--limit)" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("mending", "told"),
    [
        (Mending(2, 1, 2, 1, 0, [], dry_run=False), "2 rows sent again, 1 row deleted\n"),
        (Mending(2, 1, 0, 0, 0, [], dry_run=True), "would be: 2 rows sent again, 1 row deleted\n"),
        (Mending(2, 1, 0, 0, 0, ["no"], dry_run=True), "would be refused  no\n"),
        (
            Mending(2, 0, 2, 0, 1, [], dry_run=False),
            "2 rows sent again, 0 rows deleted\n1 row that the source does not have: kept (--keep-extra)\n",
        ),
    ],
)
def test_what_is_mended_or_would_be(capsys: pytest.CaptureFixture[str], mending: Mending, told: str) -> None:
    mending.show()
    assert capsys.readouterr().out == told
    document = mending.document()
    assert [document[name] for name in ("to_send", "to_remove", "sent", "removed")] == [
        mending.to_send,
        mending.to_delete,
        mending.sent,
        mending.deleted,
    ]
    assert (document["kept"], document["refused"]) == (mending.kept, list(mending.refused))


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"swapped": True}, "swapped  the old table is kept until `streambind replica confirm`"),
        ({"dry_run": True, "would_swap": True}, "would be: swapped"),
        ({"dry_run": True}, "would be: not swapped, 3 rows would be gone (--force)"),
        ({}, "not swapped  3 rows would be gone (--force)"),
    ],
)
def test_what_becomes_of_the_tables(capsys: pytest.CaptureFixture[str], how: dict[str, Any], told: str) -> None:
    show_swap(difference(extra=3), **(dict.fromkeys(("swapped", "would_swap", "dry_run"), False) | how))
    shown = capsys.readouterr().out
    assert shown.startswith(told)
    assert ("the new table is kept: the" in shown) is ("swapped" not in how)
