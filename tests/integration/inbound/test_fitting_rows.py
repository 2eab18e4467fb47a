"""Replicas that keep only some rows: what becomes of one that no longer fits."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import String, select, update
from sqlalchemy.orm import Mapped, mapped_column

from streambind.inbound.replicates import replicates
from tests.integration.inbound.replicas import Fitting, ItemChanged, changed, rows
from tests.integration.inbound.service import DESTINATION, Base, Service, drain
from tests.unit.inbound.batches import ListBatch, Record


@replicates("in-things", ItemChanged, soft_delete="is_gone", where=lambda event: event.price == 6)
class Marked6(Base):
    """Rows that are marked as deleted while they do not fit."""

    __tablename__ = "marked6"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    price: Mapped[int]
    is_gone: Mapped[bool]


@replicates(
    "in-things", ItemChanged, owns=["price"], where=lambda event: event.price == 6, condition="payload.name != 'x'"
)
class Shared6(Base):
    """What one source owns is put back while it does not fit; some messages do not concern it at all."""

    __tablename__ = "shared6"

    id: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[int] = mapped_column(default=7)
    note: Mapped[str | None] = mapped_column(String(40))


def _forgets(event: ItemChanged) -> Any:
    return event.price > 5 or None


@replicates("in-things", ItemChanged, where=_forgets)
class Forgetful(Base):
    """Its function says nothing of what is cheap."""

    __tablename__ = "forgetful"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    price: Mapped[int]


PUBLISHED = pytest.mark.parametrize("published", [False, True])
"""Whether the class is published in turn, and its rows go through a session."""


def batch(*records: Record, start: int = 0) -> ListBatch:
    return ListBatch(records, start, DESTINATION)


@PUBLISHED
def test_a_row_goes_when_it_no_longer_fits_and_comes_back_when_it_does(
    any_service: Service, published: bool
) -> None:
    plan = any_service.plan(Fitting, published=published)
    all_of_it = select(Fitting.id, Fitting.name).order_by(Fitting.id)
    first = [
        changed("INSERT", 1, "a", seq=1),
        changed("INSERT", 2, "b", seq=1),
        changed("INSERT", 3, seq=1, price=2),
    ]
    plan.deliver(batch(*first))
    assert rows(any_service, all_of_it) == [(1, "a"), (2, "b")]

    # A DELETE is one, whether its row fits or not.
    plan.deliver(
        batch(changed("UPDATE", 1, "a", seq=2, price=2), changed("DELETE", 2, seq=2, price=2), start=len(first))
    )
    assert rows(any_service, all_of_it) == []
    # Its number is known: what fitted before is late.
    plan.deliver(batch(first[0], start=5))
    assert rows(any_service, all_of_it) == []
    assert any_service.guarded() == {b"1": (1, 2), b"2": (1, 2), b"3": (1, 1)}

    plan.deliver(batch(changed("UPDATE", 1, "c", seq=3, price=1), changed("UPDATE", 3, "d", seq=2), start=6))
    assert rows(any_service, all_of_it) == [(1, "c"), (3, "d")]


@PUBLISHED
def test_what_does_not_fit_is_marked_as_deleted(any_service: Service, published: bool) -> None:
    plan = any_service.plan(Marked6, published=published)
    all_of_it = select(Marked6.id, Marked6.name, Marked6.is_gone).order_by(Marked6.id)
    there = changed("INSERT", 1, "a", seq=1, price=6)
    never = changed("INSERT", 2, "b", seq=1, price=5)
    plan.deliver(batch(there, never, changed("UPDATE", 1, "c", seq=2, price=5)))
    assert rows(any_service, all_of_it) == [(1, "a", True)]
    plan.deliver(batch(changed("UPDATE", 1, "d", seq=3, price=6), start=3))
    assert rows(any_service, all_of_it) == [(1, "d", False)]


@PUBLISHED
def test_columns_are_put_back_when_they_do_not_fit_but_not_by_what_does_not_concern_them(
    any_service: Service, published: bool
) -> None:
    plan = any_service.plan(Shared6, published=published)
    all_of_it = select(Shared6.id, Shared6.price, Shared6.note)
    plan.deliver(batch(changed("INSERT", 1, "a", seq=1, price=6)))
    any_service.database.run(lambda connection: connection.execute(update(Shared6).values(note="kept")))
    plan.deliver(batch(changed("UPDATE", 1, "x", seq=2, price=5), start=1))
    assert rows(any_service, all_of_it) == [(1, 6, "kept")]
    plan.deliver(batch(changed("UPDATE", 1, "a", seq=3, price=5), start=2))
    assert rows(any_service, all_of_it) == [(1, 7, "kept")]


def test_a_function_that_forgets_to_answer_deletes_nothing(any_service: Service) -> None:
    plan = any_service.plan(Forgetful, on_error="skip", max_attempts=1)
    plan.deliver(batch(changed("INSERT", 1, "a", seq=1, price=6)))
    drain(plan, batch(changed("UPDATE", 1, "b", seq=2, price=5), start=1))
    assert rows(any_service, select(Forgetful.id, Forgetful.name)) == [(1, "a")]
    assert plan.statistics.figures().skipped == 1
    assert "where= returned NoneType, neither True nor False" in str(plan.statistics.figures().last_error)
