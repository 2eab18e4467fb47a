"""Replicas: what arrives is what the table holds, exactly once, on every engine."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from streambind.binding.outcome import Continue, Outcome, RetryAfter
from tests.integration.inbound.parking import turns
from tests.integration.inbound.replicas import (
    BROKEN,
    Article,
    Colour,
    Fragile,
    Item,
    Kept,
    Offer,
    changed,
    items,
    rows,
    tombstone,
)
from tests.integration.inbound.service import DESTINATION, Event, Service, drain, event, keep
from tests.unit.inbound.batches import ListBatch, Record, numbered, record


def batch(*records: Record, start: int = 0, partition: int = 0) -> ListBatch:
    return ListBatch(records, start, DESTINATION, partition)


def test_inserts_updates_and_deletes_are_applied_in_one_transaction_with_the_position(service: Service) -> None:
    plan = service.plan(Item)

    outcome = plan.deliver(
        batch(
            changed("INSERT", 1, "a", seq=1),
            changed("INSERT", 2, "b", seq=1, price=7),
            changed("UPDATE", 1, "c", seq=2),
            changed("INSERT", 3, "d", seq=1),
            changed("DELETE", 3, seq=2),
        )
    )

    assert outcome == Outcome(5, Continue())
    assert rows(service, select(Item.id, Item.name, Item.price).order_by(Item.id)) == [(1, "c", 0), (2, "b", 7)]
    assert service.position() == 5
    assert service.guarded() == {b"1": (1, 2), b"2": (1, 1), b"3": (1, 2)}
    assert service.commits == 1


def test_batches_may_be_large_where_nobody_is_called_for_each_message(service: Service) -> None:
    assert service.plan(Item).batch == 2000
    assert service.plan(Item, service.listener(keep)).batch is None


def test_a_row_that_was_there_before_is_replaced_and_removed(service: Service) -> None:
    plan = service.plan(Item)
    plan.deliver(batch(changed("INSERT", 1, "a", seq=1), changed("INSERT", 2, "b", seq=1)))

    plan.deliver(batch(changed("UPDATE", 1, "c", seq=2), changed("DELETE", 2, seq=2), start=2))

    assert items(service) == {1: "c"}


def test_a_null_payload_deletes_the_row_of_the_messages_key(service: Service) -> None:
    plan = service.plan(Item)
    plan.deliver(batch(changed("INSERT", 1, "a", seq=1), changed("INSERT", 2, "b", seq=1)))

    plan.deliver(batch(tombstone("1", seq=2), tombstone("7", seq=1), start=2))

    assert items(service) == {2: "b"}


def test_stale_and_repeated_events_change_nothing(service: Service) -> None:
    plan = service.plan(Item)
    plan.deliver(batch(changed("INSERT", 1, "a", seq=1), changed("UPDATE", 1, "b", seq=2)))

    plan.deliver(batch(changed("INSERT", 1, "a", seq=1), changed("UPDATE", 1, "stale", seq=2), start=2))
    assert items(service) == {1: "b"}

    plan.deliver(batch(changed("DELETE", 1, seq=3), changed("UPDATE", 1, "b", seq=2), start=4))
    plan.deliver(batch(changed("UPDATE", 1, "late", seq=2), start=6))
    assert items(service) == {}
    assert plan.statistics.figures().duplicates == 4

    plan.deliver(batch(changed("INSERT", 1, "again", seq=4), start=7))
    assert items(service) == {1: "again"}


def test_a_batch_that_comes_again_is_fenced(service: Service) -> None:
    plan = service.plan(Item)
    plan.deliver(batch(changed("INSERT", 1, "a", seq=1)))
    service.database.run(lambda c: c.execute(update(Item.__table__).values(name="by hand")))  # type: ignore[arg-type]

    plan.deliver(batch(changed("INSERT", 1, "a", seq=1)))

    assert items(service) == {1: "by hand"}


def article(job: str, seq: int, **changes: object) -> Record:
    fields: dict[str, object] = {
        "tenant": "최종",
        "number": 7,
        "title": "book",
        "colour": "red",
        "token": str(uuid.UUID(int=1)),
        "made": "2026-01-02T03:04:05Z",
        "amount": "1.50",
        "attributes": {"a": [1, None]},
    }
    return numbered({"jobType": job, **fields, **changes}, '["최종",7]', seq)


def test_columns_take_fields_by_name_by_alias_and_computed_in_the_types_of_the_columns(service: Service) -> None:
    plan = service.plan(Article)

    assert plan.deliver(batch(article("INSERT", 1), article("UPDATE", 2, colour="blue"))).done == 2

    (found,) = rows(service, select(Article.__table__))
    made = found[7].replace(tzinfo=UTC) if found[7].tzinfo is None else found[7]
    assert found[:7] == ("최종", 7, "book", "BOOK", 4, Colour.BLUE, uuid.UUID(int=1))
    assert made == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert found[8:] == (Decimal("1.50"), {"a": [1, None]}, None)


def test_a_null_payload_deletes_the_row_of_a_key_of_several_columns(service: Service) -> None:
    plan = service.plan(Article)
    plan.deliver(batch(article("INSERT", 1)))

    plan.deliver(batch(tombstone('["최종",7]', seq=2), start=1))

    assert rows(service, select(Article.number)) == []


def test_columns_that_are_not_owned_keep_their_values_and_take_their_defaults(service: Service) -> None:
    plan = service.plan(Offer)
    plan.deliver(batch(changed("INSERT", 1, "a", seq=1)))
    offers = select(Offer.id, Offer.name, Offer.stock, Offer.note).order_by(Offer.id)
    assert rows(service, offers) == [(1, "a", 0, "new")]
    service.database.run(
        lambda c: c.execute(update(Offer.__table__).values(stock=5, note="seen"))  # type: ignore[arg-type]
    )

    plan.deliver(batch(changed("UPDATE", 1, "b", seq=2), changed("INSERT", 2, "c", seq=1), start=1))

    assert rows(service, offers) == [(1, "b", 5, "seen"), (2, "c", 0, "new")]


def test_a_row_that_is_deleted_and_comes_back_in_one_batch_has_lost_what_others_owned(service: Service) -> None:
    plan = service.plan(Offer)
    plan.deliver(batch(changed("INSERT", 1, "a", seq=1)))
    service.database.run(lambda c: c.execute(update(Offer.__table__).values(note="seen")))  # type: ignore[arg-type]

    plan.deliver(batch(changed("DELETE", 1, seq=2), changed("INSERT", 1, "b", seq=3), start=1))

    assert rows(service, select(Offer.name, Offer.note)) == [("b", "new")]


def test_a_soft_delete_sets_a_column_and_an_insert_takes_it_back(service: Service) -> None:
    plan = service.plan(Kept)
    deleted = select(Kept.id, Kept.name, Kept.deleted_at.is_not(None)).order_by(Kept.id)
    plan.deliver(batch(changed("INSERT", 1, "a", seq=1), changed("INSERT", 2, "b", seq=1)))

    plan.deliver(batch(changed("DELETE", 1, seq=2), tombstone("2", seq=2), changed("DELETE", 9, seq=1), start=2))
    assert rows(service, deleted) == [(1, "a", True), (2, "b", True)]

    plan.deliver(batch(changed("INSERT", 1, "c", seq=3), start=5))
    assert rows(service, deleted) == [(1, "c", False), (2, "b", True)]


@pytest.mark.parametrize(
    "bad",
    [
        numbered({"jobType": "RENAME", "id": 2, "name": "x"}, "2", 1),
        numbered(b"{", "2", 1),
        numbered(None, "no number", 1),
        record(None),
        changed("INSERT", 2, "x" * 41, seq=1),
        changed("INSERT", 2, "nul \0", seq=1),
    ],
    ids=["unknown job", "no JSON", "tombstone of another key", "tombstone without key", "too long", "nul"],
)
@pytest.mark.parametrize("on_error", ["park", "skip"])
def test_what_cannot_be_applied_is_found_in_its_batch_and_the_rest_is_applied(
    service: Service, bad: Record, on_error: str
) -> None:
    taken = {"sqlite": b"INSERT", "mysql": b"nul", "mariadb": b"nul"}.get(service.database.engine.name)
    if taken is not None and taken in (bad.payload or b""):
        pytest.skip("the database takes such a text")
    plan = service.plan(Item, on_error=on_error, max_attempts=1)
    good = (changed("INSERT", 1, "a", seq=1), changed("UPDATE", 1, "b", seq=2), changed("INSERT", 3, "c", seq=1))

    outcomes = drain(plan, batch(good[0], bad, *good[1:]))

    assert sum(outcome.done for outcome in outcomes) == 4
    assert items(service) == {1: "b", 3: "c"}
    figures = plan.statistics.figures()
    assert (figures.parked, figures.skipped) == ((1, 0) if on_error == "park" else (0, 1))


def test_a_payload_that_is_too_large_is_not_read(service: Service) -> None:
    plan = service.plan(Item, on_error="skip", max_attempts=1, max_payload_bytes=200)

    drain(
        plan,
        batch(
            changed("INSERT", 1, "a", seq=1),
            changed("INSERT", 2, "b", seq=1, unknown="x" * 200),
            changed("INSERT", 3, "c", seq=1),
        ),
    )

    assert items(service) == {1: "a", 3: "c"}


def test_what_cannot_be_read_is_not_tried_again_and_says_why_without_its_values(service: Service) -> None:
    plan = service.plan(Item, on_error="park", max_attempts=3)

    outcomes = drain(plan, batch(changed("INSERT", 1, "a", seq=1), numbered({"id": "a secret"}, "2", 1)))

    assert not any(isinstance(outcome.then, RetryAfter) for outcome in outcomes)
    assert items(service) == {1: "a"}
    parked = service.database.tables.parked_key.c
    [(error_class, error_text)] = rows(service, select(parked.error_class, parked.error_text))
    assert error_class == "streambind.errors.DecodeError"
    assert "secret" not in error_text


def test_a_parked_key_is_applied_in_order_once_its_trouble_is_over(service: Service) -> None:
    plan = service.plan(Fragile, on_error="park", max_attempts=1)
    names = select(Fragile.id, Fragile.name).order_by(Fragile.id)
    BROKEN.add(1)
    try:
        drain(plan, batch(changed("INSERT", 1, "a", seq=1), changed("INSERT", 2, "b", seq=1)))
        drain(plan, batch(changed("UPDATE", 1, "c", seq=2), changed("UPDATE", 2, "d", seq=2), start=2))
        assert rows(service, names) == [(2, "d")]
    finally:
        BROKEN.clear()

    service.database.run(lambda c: c.execute(update(service.database.tables.parked_key).values(next_ms=0)))
    turns(plan)

    assert rows(service, names) == [(1, "c"), (2, "d")]
    assert service.guarded() == {b"1": (1, 2), b"2": (1, 2)}
    assert plan.statistics.figures().drained == 2


def test_a_replica_and_listeners_share_a_batch_and_its_transaction(service: Service) -> None:
    seen: list[Any] = []

    def look(event: Event, session: Session) -> None:
        seen.append(session.scalars(select(Item.name).order_by(Item.id)).all())
        if event.number == 3:
            raise ValueError("not this one")

    plan = service.plan(Item, service.listener(look), on_error="skip", max_attempts=1)
    both = [
        numbered({**event("k", n), "jobType": "INSERT", "id": n, "name": f"n{n}"}, str(n), 1) for n in (1, 2, 3)
    ]

    drain(plan, batch(*both))

    assert seen[:2] == [["n1"], ["n1", "n2"]]
    assert items(service) == {1: "n1", 2: "n2"}
