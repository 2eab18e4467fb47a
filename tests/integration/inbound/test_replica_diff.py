"""A replica against its topic: what differs is found, all of it and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, text, update

from streambind.binding.binder import Identity, Lane
from streambind.errors import LifecycleError
from streambind.inbound.parked_messages import ParkedMessages
from streambind.inbound.stored_positions import Reset, reset_position
from streambind.replicas import fold as fold_module
from tests.integration.inbound.conftest import MakeDatabase
from tests.integration.inbound.parking import parked_messages, turns
from tests.integration.inbound.replicas import (
    Article,
    Badge,
    Colour,
    Dear,
    Item,
    Kept,
    Offer,
    changed,
    items,
    rows,
    tombstone,
)
from tests.integration.inbound.service import DESTINATION, GROUP, Service
from tests.integration.inbound.test_replica_tables import Shared
from tests.integration.inbound.topic import Topic
from tests.unit.inbound.batches import Record, numbered, record

NOTHING = (0, 0, 0)


def counts(topic: Topic, **how: Any) -> tuple[int, int, int]:
    found = topic.difference(**how)
    return found.missing, found.extra, found.wrong


def write(service: Service, statement: Any) -> None:
    service.database.run(lambda connection: connection.execute(statement))


@pytest.fixture
def topic(service: Service) -> Topic:
    return Topic(service, service.plan(Item))


def test_a_replica_that_follows_is_equal(topic: Topic) -> None:
    topic.deliver(
        changed("INSERT", 1, "a", seq=1), changed("INSERT", 2, "b", seq=1), changed("UPDATE", 1, "c", seq=2)
    )
    topic.deliver(changed("INSERT", 3, "d", seq=1), tombstone("3", seq=2), partition=1)
    assert counts(topic) == NOTHING
    assert topic.tables() == set()
    topic.deliver(changed("DELETE", 1, seq=3))
    assert counts(topic) == NOTHING


def test_values_differ_though_a_collation_takes_them_for_equal(topic: Topic) -> None:
    topic.deliver(changed("INSERT", 1, "name", seq=1))
    for other in ("Name", "n\u00e4me", "name "):
        write(topic.service, update(Item).values(name=other))
        assert counts(topic) == (0, 0, 1)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param('ALTER tenant TYPE varchar(10) COLLATE "C"', marks=pytest.mark.postgres),
        pytest.param("ALTER amount TYPE numeric(10, 1)", marks=pytest.mark.postgres),
        pytest.param("CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci", marks=pytest.mark.mariadb),
        pytest.param("MODIFY amount DECIMAL(10, 1) NOT NULL", marks=pytest.mark.mariadb),
    ],
)
def test_a_table_is_compared_as_it_is_in_the_database(make_database: MakeDatabase, change: str) -> None:
    """Whoever made it: its types and collations may be other ones than the code's."""
    service = Service(make_database("postgresql+psycopg" if change.startswith("ALTER") else "mysql+pymysql"))
    topic = Topic(service, service.plan(Article))
    try:
        write(service, text(f"ALTER TABLE article {change}"))
        topic.deliver(article(1), article(2))
        assert counts(topic) == NOTHING
        write(service, update(Article).where(Article.number == 1).values(heading="x"))
        assert counts(topic) == (0, 0, 1)
    finally:
        write(service, text("DROP TABLE article"))


def test_it_tells_how_many_messages_are_folded_of_how_many(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_module, "_FEW", 1)
    topic.few = 2
    topic.deliver(*(changed("INSERT", each, f"n{each}", seq=1) for each in range(1, 6)))
    topic.deliver(*(changed("INSERT", each, f"n{each}", seq=1) for each in range(6, 9)), partition=1)
    told: list[tuple[int, int]] = []
    topic.difference(progress=lambda done, of: told.append((done, of)))
    assert told == [(0, 8), (2, 8), (4, 8), (5, 8), (7, 8), (8, 8), (8, 8)]


def test_what_was_changed_by_hand_is_found(topic: Topic) -> None:
    topic.deliver(*(changed("INSERT", each, f"n{each}", seq=1) for each in range(1, 6)))
    write(topic.service, update(Item).where(Item.id == 1).values(name="x"))
    write(topic.service, delete(Item).where(Item.id.in_([2, 3])))
    write(topic.service, insert(Item).values(id=9, name="n9", price=0))
    found = topic.difference()
    assert found.examples == {"wrong": [(1,)], "missing": [(2,), (3,)], "extra": [(9,)]}
    assert (found.expected, found.found) == (5, 4)


def test_the_log_counts_only_as_far_as_the_group_is(topic: Topic) -> None:
    topic.deliver(changed("INSERT", 1, "a", seq=1))
    topic.partitions[0].append(changed("UPDATE", 1, "not yet", seq=2))
    assert counts(topic) == NOTHING


def test_events_that_the_log_repeats_do_not_count(topic: Topic) -> None:
    first, second = changed("INSERT", 1, "a", seq=1), changed("UPDATE", 1, "b", seq=2)
    topic.deliver(first, second, first, second, first)
    assert counts(topic) == NOTHING


def test_a_key_that_moved_to_another_partition_is_folded_in_its_order(topic: Topic) -> None:
    topic.deliver(changed("INSERT", 1, "a", seq=1), partition=1)
    topic.deliver(changed("UPDATE", 1, "b", seq=2), partition=0)
    assert counts(topic) == NOTHING


def test_a_message_that_cannot_be_read_is_named_or_left_out(service: Service) -> None:
    topic = Topic(service, service.plan(Item, on_error="skip"))
    topic.deliver(changed("INSERT", 1, "a", seq=1), record(b"nonsense", "2"), changed("UPDATE", 1, "b", seq=2))
    with pytest.raises(LifecycleError, match=r"things\[0\]@1 cannot be applied.*--skip-unreadable"):
        topic.difference()
    assert topic.tables() == set()
    assert counts(topic, skip_unreadable=True) == NOTHING


@pytest.mark.parametrize("at", [0, 3, 6])
def test_a_message_that_the_database_refuses_is_named_or_left_out(service: Service, at: int) -> None:
    topic = Topic(service, service.plan(Item, on_error="skip", max_attempts=1))
    events = [changed("INSERT", each, f"n{each}", seq=1) for each in range(1, 7)]
    topic.deliver(*events[:at], changed("INSERT", 9, "b", seq=1, price=2**70), *events[at:])
    assert len(items(service)) == 6
    with pytest.raises(LifecycleError, match=rf"things\[0\]@{at} cannot be applied.*--skip-unreadable"):
        topic.difference()
    assert topic.tables() == set()
    assert counts(topic, skip_unreadable=True) == NOTHING


def test_messages_that_the_database_refuses_together_are_folded_apart(service: Service) -> None:
    """Two rows swap a unique name, which no single statement may do."""
    topic = Topic(service, service.plan(Badge))
    topic.deliver(changed("INSERT", 1, "a", seq=1), changed("INSERT", 2, "b", seq=1))
    swap = (changed("UPDATE", 1, "c", seq=2), changed("UPDATE", 2, "a", seq=2), changed("UPDATE", 1, "b", seq=3))
    for each in swap:
        topic.deliver(each)
    topic.few = 2
    assert counts(topic) == NOTHING
    assert topic.difference().expected == 2


def test_values_of_every_type_are_compared_as_the_table_holds_them(service: Service) -> None:
    """Text that its type writes in capitals, amounts with a scale, times with a zone, JSON."""
    topic = Topic(service, service.plan(Article))
    topic.deliver(article(1))
    assert counts(topic) == NOTHING
    write(service, update(Article).values(colour=Colour.BLUE))
    assert counts(topic) == (0, 0, 1)
    write(service, update(Article).values(colour=Colour.RED, attributes={"b": 2}))
    assert counts(topic) == (0, 0, 1)


def article(number: int) -> Record:
    payload = {
        "jobType": "INSERT",
        "tenant": "t",
        "number": number,
        "title": "abc",
        "colour": "red",
        "token": "6a1f0c1e-0000-4000-8000-000000000001",
        "made": "2026-01-31T12:00:00+09:00",
        "amount": "1.57",
        "attributes": {"b": 1, "a": [None, "x"]},
        "remark": None,
    }
    return numbered(payload, f'["t",{number}]', 1)


def test_rows_that_are_kept_as_deleted_are_expected(service: Service) -> None:
    topic = Topic(service, service.plan(Kept))
    topic.deliver(changed("INSERT", 1, "a", seq=1), changed("INSERT", 2, "b", seq=1), changed("DELETE", 1, seq=2))
    assert counts(topic) == NOTHING
    write(service, update(Kept).values(deleted_at=None))
    assert counts(topic) == (0, 0, 1)


def test_of_a_soft_deletion_it_counts_that_and_not_when(service: Service) -> None:
    """A repair that deletes a row anew knows the time of its own deed only."""
    topic = Topic(service, service.plan(Kept))
    topic.deliver(changed("INSERT", 1, "a", seq=1), changed("DELETE", 1, seq=2))
    write(service, update(Kept).values(deleted_at=datetime(2026, 1, 31, tzinfo=UTC)))
    assert counts(topic) == NOTHING
    write(service, update(Kept).values(name="b"))
    assert counts(topic) == (0, 0, 1)
    write(service, update(Kept).values(name="a", deleted_at=None))
    assert counts(topic) == (0, 0, 1)


def test_columns_of_others_and_rows_for_their_sake_are_let_alone(service: Service) -> None:
    topic = Topic(service, service.plan(Offer))
    topic.deliver(changed("INSERT", 1, "a", seq=1))
    write(service, update(Offer).values(stock=7, note="x"))
    write(service, insert(Offer).values(id=5, stock=3))
    assert counts(topic) == NOTHING
    write(service, insert(Offer).values(id=6, name="nobody's"))
    assert topic.difference().examples == {"extra": [(6,)]}


def test_a_row_in_which_the_source_has_nothing_but_defaults_is_there_for_others(service: Service) -> None:
    topic = Topic(service, service.plan(Shared))
    topic.deliver(changed("INSERT", 1, "a", seq=1))
    write(service, insert(Shared).values(id=5, note="another's"))
    found = topic.difference()
    assert (found.is_none, found.found, found.idle) == (True, 2, 1)
    write(service, update(Shared).where(Shared.id == 5).values(price=8))
    assert topic.difference().examples == {"extra": [(5,)]}


def test_events_that_a_condition_leaves_out_are_not_expected(service: Service) -> None:
    topic = Topic(service, service.plan(Dear))
    topic.deliver(
        changed("INSERT", 1, "a", seq=1, price=6),
        changed("INSERT", 2, "b", seq=1, price=5),
        changed("UPDATE", 1, "c", seq=2, price=5),
    )
    assert rows(service, select(Dear.id, Dear.name)) == [(1, "a")]
    assert counts(topic) == NOTHING
    write(service, delete(Dear))
    assert topic.difference().examples == {"missing": [(1,)]}


def test_where_numbers_are_ignored_each_event_of_the_log_counts(service: Service) -> None:
    topic = Topic(service, service.plan(Item, sequence="ignore"), trusts=False)
    topic.deliver(
        changed("INSERT", 1, "a", seq=1), changed("UPDATE", 1, "b", seq=9), changed("UPDATE", 1, "c", seq=1)
    )
    assert items(service) == {1: "c"}
    assert counts(topic) == NOTHING


def test_where_the_group_was_moved_past_numbers_it_is_folded_without_them(topic: Topic) -> None:
    """As in a topic that was made anew: what the old one held is lost."""
    topic.deliver(changed("INSERT", 1, "a", seq=1))
    here = Lane(DESTINATION, 0)
    assert reset_position(topic.service.database, GROUP, here, lambda _: Reset(0, "earliest", Identity(), True))
    topic.partitions[0].clear()
    topic.deliver(
        changed("UPDATE", 1, "d", seq=4), changed("INSERT", 2, "b", seq=1), changed("UPDATE", 1, "e", seq=5)
    )
    assert items(topic.service) == {1: "e", 2: "b"}
    assert counts(topic) == NOTHING
    assert topic.difference().expected == 2


def test_what_waits_for_a_number_that_never_comes_holds_it_up_until_somebody_decides(service: Service) -> None:
    topic = Topic(service, service.plan(Item, on_error="park", parking={"gap_timeout_ms": 0}))
    waits = (changed("UPDATE", 1, "c", seq=3), changed("UPDATE", 1, "d", seq=4))
    topic.deliver(changed("INSERT", 1, "a", seq=1), *waits, changed("INSERT", 2, "b", seq=1))
    turns(topic.plan)
    assert items(service) == {1: "a", 2: "b"}
    with pytest.raises(
        LifecycleError, match=r"things\[0\]@1: .*number 3 of its key came after number 1, and is parked"
    ):
        topic.difference()
    desk = ParkedMessages(service.database, GROUP, (DESTINATION,), numbered=True, actor="ann")
    first, second = (row.id for row in parked_messages(service))
    assert desk.retry([(DESTINATION, b"1")], accept_gaps=[first, second]) == 1
    turns(topic.plan)
    assert items(service) == {1: "d", 2: "b"}
    assert counts(topic) == NOTHING


def test_what_was_taken_out_and_never_applied_is_left_out(service: Service) -> None:
    topic = Topic(service, service.plan(Item, on_error="park", parking={"gap_timeout_ms": 0}))
    forged = numbered({"jobType": "INSERT", "id": 1, "name": "forged", "price": 0}, "1", 5, source="s9")
    topic.deliver(changed("INSERT", 1, "a", seq=1), forged)
    turns(topic.plan)
    desk = ParkedMessages(service.database, GROUP, (DESTINATION,), numbered=True, actor="ann")
    assert desk.skip((DESTINATION, b"1"), [parked_messages(service)[0].id], force=True) == 1
    topic.deliver(changed("UPDATE", 1, "b", seq=2))
    assert counts(topic) == NOTHING
    write(service, update(Item).values(name="x"))
    assert counts(topic) == (0, 0, 1)


def test_what_retention_took_before_the_group_had_it_is_no_log_to_compare_with(topic: Topic) -> None:
    topic.deliver(changed("INSERT", 1, "a", seq=1))
    topic.starts[0] = 3
    with pytest.raises(
        LifecycleError, match=r"things\[0\] begins at 3, group readers is at 1: .* lost to retention"
    ):
        topic.difference()
    assert topic.tables() == set()


def test_a_group_without_a_position_has_nothing_to_compare(service: Service) -> None:
    topic = Topic(service, service.plan(Item, adopt=None))
    with pytest.raises(LifecycleError, match="has no position in the database"):
        topic.difference()


jobs = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from(["UPDATE", "UPDATE", "DELETE"]), st.sampled_from("abc"))
)
plants = st.lists(
    st.tuples(st.sampled_from(["change", "remove", "add"]), st.integers(1, 9)),
    max_size=4,
    unique_by=lambda p: p[1],
)


@pytest.mark.parametrize("service", ["sqlite"], indirect=True)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(events=jobs, planted=plants)
def test_planted_differences_are_found_all_and_only_those(
    service: Service, events: list[tuple[int, str, str]], planted: list[tuple[str, int]]
) -> None:
    _plant(service, events, planted)


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(events=jobs, planted=plants)
def test_planted_differences_are_found_on_every_database(
    service: Service, events: list[tuple[int, str, str]], planted: list[tuple[str, int]]
) -> None:
    _plant(service, events, planted)


def _plant(service: Service, events: list[tuple[int, str, str]], planted: list[tuple[str, int]]) -> None:
    for table in (Item, service.database.tables.position, service.database.tables.guard):
        write(service, delete(table))
    topic = Topic(service, service.plan(Item))
    numbers: dict[int, int] = {}
    model: dict[int, str] = {}
    for key, job, name in events:
        numbers[key] = numbers.get(key, 0) + 1
        topic.deliver(changed(job, key, name, seq=numbers[key]), partition=key % 2)
        if job == "DELETE":
            model.pop(key, None)
        else:
            model[key] = name
    expected: dict[str, list[tuple[int]]] = {}
    for what, key in sorted(planted, key=lambda each: each[1]):
        if what == "change" and key in model:
            write(service, update(Item).where(Item.id == key).values(price=Item.price + 1))
            expected.setdefault("wrong", []).append((key,))
        elif what == "remove" and key in model:
            write(service, delete(Item).where(Item.id == key))
            expected.setdefault("missing", []).append((key,))
        elif what == "add" and key not in model:
            write(service, insert(Item).values(id=key, name="x", price=0))
            expected.setdefault("extra", []).append((key,))
    found = topic.difference()
    assert {kind: sorted(keys) for kind, keys in found.examples.items()} == expected
    assert len(rows(service, select(Item.id))) == found.found
