"""Two rebuilds of one replica at once: both go on, or one is told why it cannot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from streambind.binding.binder import Lane
from streambind.errors import LifecycleError
from streambind.message import Message
from streambind.persistence.shadow_table import ShadowTable
from streambind.replicas import fold as fold_module
from streambind.replicas.rebuild import Rebuilt
from tests.integration.inbound.conftest import ASYNCHRONOUS, SYNCHRONOUS, MakeDatabase
from tests.integration.inbound.replicas import Item, items
from tests.integration.inbound.service import Service
from tests.integration.inbound.topic import RIGHT, Topic, drop_left, wrong_copy
from tests.integration.urls import drivers


@pytest.fixture(params=drivers(*SYNCHRONOUS, *ASYNCHRONOUS))
def topic(request: pytest.FixtureRequest, make_database: MakeDatabase) -> Iterator[Topic]:
    service = Service(make_database(request.param))
    drop_left(service)
    yield wrong_copy(service)
    drop_left(service)
    service.database.run(lambda connection: Item.metadata.drop_all(connection))


def meanwhile(topic: Topic, monkeypatch: pytest.MonkeyPatch, **how: Any) -> list[Rebuilt]:
    """Lets another rebuild run from its start to its end once the next one has begun to read; its outcome."""
    monkeypatch.setattr(fold_module, "_FEW", 0)
    read, done = topic._read, list[Rebuilt]()

    def read_late(lane: Lane, at: int) -> Sequence[Message]:
        monkeypatch.setattr(topic, "_read", read)
        done.append(topic.rebuild(**how))
        return read(lane, at)

    monkeypatch.setattr(topic, "_read", read_late)
    return done


def test_of_two_at_once_the_slower_one_is_told_that_the_tables_are_swapped(
    topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = meanwhile(topic, monkeypatch)
    with pytest.raises(LifecycleError, match="another rebuild of it is at work, and has swapped the tables: look"):
        topic.rebuild()
    assert [each.swapped for each in done] == [True]
    assert items(topic.service) == RIGHT
    assert topic.service.count(topic.service.database.tables.position) == 2
    assert topic.rebuilding().confirm()
    assert topic.rebuild().swapped


def test_of_two_at_once_that_do_not_swap_each_goes_on_where_the_other_is(
    topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = meanwhile(topic, monkeypatch, dry_run=True, restart=True)
    assert topic.rebuild().swapped
    assert [each.swapped for each in done] == [False]
    assert items(topic.service) == RIGHT


def test_one_that_is_overtaken_while_the_group_stands_still_goes_on_where_the_other_is(
    topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    if topic.service.database.engine.dialect.name == "sqlite":
        return  # Where one writes, no other one does.
    read = topic._read

    def read_late(lane: Lane, at: int) -> Sequence[Message]:
        monkeypatch.setattr(topic, "_read", read)
        with monkeypatch.context() as patch:
            patch.setattr(fold_module, "_FEW", 0)
            topic.rebuilding()._fold(topic.log()).catch_up(lambda *_: None)
        return read(lane, at)

    monkeypatch.setattr(topic, "_read", read_late)
    assert topic.rebuild().swapped
    assert items(topic.service) == RIGHT


def test_one_whose_new_table_is_dropped_meanwhile_is_told(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_module, "_FEW", 0)
    read = topic._read

    def read_late(lane: Lane, at: int) -> Sequence[Message]:
        topic.rebuilding().abandon()
        return read(lane, at)

    monkeypatch.setattr(topic, "_read", read_late)
    with pytest.raises(LifecycleError, match="another rebuild of it is at work, and was given up or begun anew"):
        topic.rebuild()
    monkeypatch.setattr(topic, "_read", read)
    assert topic.rebuild().swapped


def test_of_two_that_begin_at_once_one_makes_the_table(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have seen that it is not there. MySQL makes no table that is there by then: they share it."""
    topic.rebuild(dry_run=True)
    monkeypatch.setattr(ShadowTable, "is_made", lambda *_: False)
    if topic.service.database.engine.dialect.name in ("mysql", "mariadb"):
        assert topic.rebuild().swapped
        return
    with pytest.raises(LifecycleError, match="another rebuild of it is at work"):
        topic.rebuild()
