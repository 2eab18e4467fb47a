"""A rebuild on MySQL exchanges rows: others who write meanwhile, and what is left when it ends early."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import pytest
from sqlalchemy import Connection, delete, event, insert, text, update

from streambind.errors import LifecycleError
from streambind.failpoints import FailpointError
from streambind.persistence.mysql_shadow import MySQLShadow
from streambind.replicas import rebuild as rebuild_module
from tests.integration.inbound.conftest import MakeDatabase
from tests.integration.inbound.replicas import Item, changed, items, rows
from tests.integration.inbound.service import Service
from tests.integration.inbound.topic import Topic, drop_left

pytestmark = pytest.mark.mariadb

RIGHT = {1: "a", 2: "b", 3: "c"}


@pytest.fixture(params=["mysql+pymysql", "mariadb+asyncmy"])
def topic(request: pytest.FixtureRequest, make_database: MakeDatabase) -> Any:
    service = Service(make_database(request.param))
    topic = Topic(service, service.plan(Item))
    topic.deliver(*(changed("INSERT", key, name, seq=1) for key, name in RIGHT.items()))
    yield topic
    drop_left(service)
    service.database.run(lambda connection: Item.metadata.drop_all(connection))


def write(topic: Topic, statement: Any) -> None:
    topic.service.database.run(lambda connection: connection.execute(statement))


def kept(topic: Topic) -> dict[int, str]:
    return dict(rows(topic.service, text("SELECT id, name FROM sb_old_item")))


def test_columns_that_the_database_computes_are_left_to_it(topic: Topic) -> None:
    write(topic, text("ALTER TABLE item ADD twice INT AS (price * 2) VIRTUAL"))
    write(topic, update(Item).where(Item.id == 2).values(price=4))
    assert topic.rebuild().swapped
    assert rows(topic.service, text("SELECT id, twice FROM item ORDER BY id")) == [(1, 0), (2, 0), (3, 0)]
    assert rows(topic.service, text("SELECT twice FROM sb_old_item WHERE id = 2")) == [(8,)]


def _disturb(monkeypatch: pytest.MonkeyPatch, topic: Topic, ids: Iterator[int]) -> None:
    """Somebody else inserts a row after the others were locked and compared."""
    swap = MySQLShadow.swap

    def disturbed(self: MySQLShadow, connection: Connection, *, rows: int) -> None:
        for key in islice(ids, 1):
            write(topic, insert(Item).values(id=key, name="whose?", price=0))
        swap(self, connection, rows=rows)

    monkeypatch.setattr(MySQLShadow, "swap", disturbed)


def test_a_row_that_came_after_the_comparison_is_seen(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    _disturb(monkeypatch, topic, iter([9]))
    done = topic.rebuild()
    assert (done.swapped, done.difference.examples) == (False, {"extra": [(9,)]})
    assert items(topic.service) == RIGHT | {9: "whose?"}
    assert topic.tables() == {"sb_new_item"}
    assert topic.rebuild(force=True).swapped
    assert kept(topic) == RIGHT | {9: "whose?"}


def test_a_row_that_came_between_the_statements_is_seen(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is neither kept nor in the new rows, but among those that are deleted."""
    obstructed = list[str]()

    def between(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith("DELETE FROM item") and not obstructed:
            obstructed.append(statement)
            write(topic, insert(Item).values(id=9, name="whose?", price=0))

    event.listen(topic.service.database.engine, "before_cursor_execute", between)
    done = topic.rebuild()
    event.remove(topic.service.database.engine, "before_cursor_execute", between)
    assert len(obstructed) == 1
    assert (done.swapped, done.difference.examples) == (False, {"extra": [(9,)]})
    assert items(topic.service) == RIGHT | {9: "whose?"}


def test_it_gives_up_where_others_write_all_the_time(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    _disturb(monkeypatch, topic, count(100))
    with pytest.raises(LifecycleError, match="others write to its table all the time"):
        topic.rebuild(force=True)
    assert items(topic.service).items() >= RIGHT.items()
    assert topic.difference().extra == 10


def _ended_after_the_swap(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(name: str) -> None:
        if name == "rebuild.after_swap":
            raise FailpointError(name)

    with monkeypatch.context() as patch:
        patch.setattr(rebuild_module, "failpoint", die)
        with pytest.raises(FailpointError):
            topic.rebuild()


def test_ended_just_after_the_swap_only_confirming_is_left(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    write(topic, update(Item).where(Item.id == 2).values(name="B"))
    _ended_after_the_swap(topic, monkeypatch)
    assert topic.tables() == {"sb_new_item", "sb_old_item"}
    with pytest.raises(LifecycleError, match="confirm first"):
        topic.rebuild(restart=True)
    assert not topic.rebuilding().abandon()
    assert kept(topic) == {1: "a", 2: "B", 3: "c"}
    assert topic.rebuilding().confirm()
    assert items(topic.service) == RIGHT
    assert topic.tables() == set()


def test_ended_just_after_an_empty_table_was_replaced_it_is_made_again(
    topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(topic, delete(Item))
    _ended_after_the_swap(topic, monkeypatch)
    assert items(topic.service) == RIGHT
    topic.deliver(changed("DELETE", 3, seq=2))
    assert topic.rebuild().swapped
    assert items(topic.service) == {1: "a", 2: "b"}
    assert kept(topic) == {1: "a", 2: "b"}
