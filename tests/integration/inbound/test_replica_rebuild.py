"""A replica's table made anew while its group goes on; whatever ends it, it can be called again."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, insert, inspect, select, text, update

from streambind.errors import ConfigurationError, LifecycleError
from streambind.failpoints import FailpointError
from streambind.inbound.replica_columns import read_columns
from streambind.inbound.replica_plan import ReplicaPlan
from streambind.inbound.replicates import replicas_of
from streambind.persistence.postgres_shadow import PostgresShadow
from streambind.replicas import fold as fold_module
from streambind.replicas import rebuild as rebuild_module
from streambind.replicas.rebuild import Rebuild
from tests.integration.inbound.conftest import ASYNCHRONOUS, SYNCHRONOUS, MakeDatabase
from tests.integration.inbound.replicas import Badge, Dear, Item, Kept, Node, Offer, changed, items, rows
from tests.integration.inbound.service import Service
from tests.integration.inbound.topic import RIGHT, Topic, drop_left, wrong_copy
from tests.integration.urls import drivers
from tests.unit.inbound.batches import Record, numbered


@pytest.fixture(params=drivers(*SYNCHRONOUS, *ASYNCHRONOUS))
def service(request: pytest.FixtureRequest, make_database: MakeDatabase) -> Any:
    service = Service(make_database(request.param))
    drop_left(service)
    yield service
    drop_left(service)
    service.database.run(lambda connection: Item.metadata.drop_all(connection))


@pytest.fixture
def topic(service: Service) -> Topic:
    return wrong_copy(service)


def write(service: Service, statement: Any) -> None:
    service.database.run(lambda connection: connection.execute(statement))


def kept(service: Service) -> dict[int, str]:
    return dict(rows(service, text("SELECT id, name FROM sb_old_item")))


def test_the_table_is_what_the_log_says_and_the_old_one_is_kept_until_it_is_confirmed(topic: Topic) -> None:
    service = topic.service
    done = topic.rebuild()
    assert done.swapped
    assert (done.difference.missing, done.difference.extra, done.difference.wrong) == (2, 0, 1)
    assert items(service) == RIGHT
    assert kept(service) == {1: "x", 4: "n4", 5: "n5"}
    assert service.position(0) == 5
    assert service.count(service.database.tables.position) == 2
    with pytest.raises(LifecycleError, match="sb_old_item holds its old rows: confirm first"):
        topic.rebuild()
    assert topic.rebuilding().confirm()
    assert not topic.rebuilding().confirm()
    assert topic.tables() == set()
    assert topic.difference().is_none


def test_the_group_goes_on_in_the_new_table(topic: Topic) -> None:
    """With the statements that it has prepared for the old one."""
    topic.rebuild()
    topic.deliver(
        changed("UPDATE", 1, "later", seq=2), changed("INSERT", 7, "n7", seq=1), changed("DELETE", 5, seq=2)
    )
    assert items(topic.service) == {1: "later", 2: "n2", 3: "n3", 4: "n4", 7: "n7"}
    assert kept(topic.service) == {1: "x", 4: "n4", 5: "n5"}
    assert topic.rebuilding().confirm()
    topic.deliver(changed("UPDATE", 2, "last", seq=2))
    assert topic.rebuild().swapped
    assert items(topic.service)[2] == "last"


def test_rows_that_would_be_gone_keep_it_from_swapping(topic: Topic) -> None:
    write(topic.service, insert(Item).values(id=9, name="whose?", price=0))
    before = items(topic.service)
    done = topic.rebuild()
    assert not done.swapped
    assert done.difference.examples["extra"] == [(9,)]
    assert items(topic.service) == before
    assert topic.rebuild(force=True).swapped
    assert items(topic.service) == RIGHT
    assert kept(topic.service) == before


def test_rows_of_which_the_topic_has_lost_the_events_are_kept_until_a_snapshot_tells_of_them(topic: Topic) -> None:
    topic.deliver(*(changed("UPDATE", key, name, seq=2) for key, name in RIGHT.items()))
    topic.starts = [6, 2]  # The row of key 1 is told of by nothing.
    done = topic.rebuild(dry_run=True)
    assert (done.swapped, done.difference.examples) == (False, {"extra": [(1,)]})
    assert not topic.rebuild().swapped
    topic.deliver(changed("UPDATE", 1, "n1", seq=3))
    assert topic.rebuild().swapped
    assert items(topic.service) == RIGHT


def test_a_condition_chooses_what_the_new_table_gets(service: Service) -> None:
    topic = Topic(service, service.plan(Dear))
    topic.deliver(changed("INSERT", 1, "a", seq=1, price=6), changed("INSERT", 2, "b", seq=1, price=5))
    write(service, delete(Dear))
    assert topic.rebuild().swapped
    assert rows(service, select(Dear.id, Dear.name)) == [(1, "a")]


def test_a_dry_run_changes_nothing_and_is_gone_on_from(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_module, "_FEW", 0)
    before = items(topic.service)
    assert not topic.rebuild(dry_run=True).swapped
    assert items(topic.service) == before
    assert topic.tables() == {"sb_new_item"}
    reads = topic.reads
    assert topic.rebuild().swapped
    assert topic.reads == reads
    assert items(topic.service) == RIGHT


def test_what_other_code_has_begun_is_begun_anew(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else half of the rows would be what the old code has made."""
    topic.rebuild(dry_run=True)
    other = replace(topic.replica(), plan=_plan(name=lambda event: event.name.upper()))
    monkeypatch.setattr(topic, "replica", lambda: other)
    assert topic.rebuild().swapped
    assert items(topic.service) == {key: name.upper() for key, name in RIGHT.items()}
    assert topic.service.count(topic.service.database.tables.position) == 2


def test_a_column_that_the_table_got_meanwhile_is_in_the_new_one_too(topic: Topic) -> None:
    topic.rebuild(dry_run=True)
    write(topic.service, text("ALTER TABLE item ADD COLUMN remark VARCHAR(40)"))
    assert topic.rebuild().swapped
    assert rows(topic.service, text("SELECT id, remark FROM item WHERE id = 1")) == [(1, None)]


def _plan(**transform: Callable[[Any], object]) -> ReplicaPlan:
    """That of items, by other code."""
    (mark,) = replicas_of(Item)
    return ReplicaPlan.of(read_columns(replace(mark, transform=tuple(transform.items()))))


def test_an_unfinished_one_can_be_given_up(topic: Topic) -> None:
    topic.rebuild(dry_run=True)
    assert topic.rebuilding().abandon()
    assert not topic.rebuilding().abandon()
    assert topic.tables() == set()
    assert topic.service.count(topic.service.database.tables.position) == 2


@pytest.mark.parametrize(
    "point", ["rebuild.after_create", "rebuild.after_batch", "rebuild.before_swap", "rebuild.after_swap"]
)
def test_interrupted_anywhere_it_can_be_called_again(
    topic: Topic, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    monkeypatch.setattr(fold_module, "_FEW", 0)
    before = items(topic.service)

    def die(name: str) -> None:
        if name == point:
            raise FailpointError(name)

    for module in (rebuild_module, fold_module):
        monkeypatch.setattr(module, "failpoint", die)
    with pytest.raises(FailpointError):
        topic.rebuild()
    for module in (rebuild_module, fold_module):
        monkeypatch.setattr(module, "failpoint", lambda _: None)
    if point == "rebuild.after_swap":
        assert items(topic.service) == RIGHT
    else:
        assert items(topic.service) == before
        assert topic.rebuild().swapped
    assert items(topic.service) == RIGHT
    assert kept(topic.service) == before
    assert topic.rebuilding().confirm()
    assert topic.service.count(topic.service.database.tables.position) == 2
    assert topic.service.count(topic.service.database.tables.guard) == 6


@pytest.mark.parametrize("few", [2, 3, 100])
def test_a_unique_name_that_rows_swap_is_made_as_it_was_delivered(service: Service, few: int) -> None:
    topic = Topic(service, service.plan(Badge))
    topic.deliver(changed("INSERT", 1, "a", seq=1), changed("INSERT", 2, "b", seq=1))
    swap = (changed("UPDATE", 1, "c", seq=2), changed("UPDATE", 2, "a", seq=2), changed("UPDATE", 1, "b", seq=3))
    topic.deliver(*swap)
    topic.few = few
    done = topic.rebuild()
    assert (done.swapped, done.difference.is_none) == (True, True)
    assert rows(service, select(Badge.id, Badge.name).order_by(Badge.id)) == [(1, "b"), (2, "a")]


@pytest.mark.parametrize("service", drivers(*SYNCHRONOUS), indirect=True)
def test_a_table_that_refers_to_itself_goes_on_to_do_so(service: Service) -> None:
    topic = Topic(service, service.plan(Node))
    if service.database.dialect.name == "mysql":  # Its foreign keys are never deferred.
        with pytest.raises(ConfigurationError, match="refer to it"):
            topic.rebuild()
        return
    topic.deliver(node(1), node(2, parent=1))
    assert topic.rebuild().swapped
    topic.deliver(node(3), node(4, parent=3))
    assert topic.rebuilding().confirm()
    topic.deliver(node(6, parent=5), node(5))
    found = dict(rows(service, select(Node.id, Node.parent_id)))
    assert found == {1: None, 2: 1, 3: None, 4: 3, 5: None, 6: 5}
    (key,) = service.database.run(lambda connection: inspect(connection).get_foreign_keys("node"))
    assert key["referred_table"] == "node"


def node(id: int, *, parent: int | None = None) -> Record:  # noqa: A002
    return numbered({"jobType": "INSERT", "id": id, "parentId": parent}, str(id), 1)


def test_what_the_database_refuses_is_left_out_of_a_rebuild_if_that_is_said(service: Service) -> None:
    topic = Topic(service, service.plan(Item, on_error="skip", max_attempts=1))
    topic.deliver(changed("INSERT", 1, "a", seq=1), changed("INSERT", 2, "b", seq=1, price=2**70))
    with pytest.raises(LifecycleError, match=r"things\[0\]@1 cannot be applied"):
        topic.rebuild()
    done = topic.rebuild(skip_unreadable=True)
    assert (done.swapped, done.folded.unreadable) == (True, 1)
    assert items(service) == {1: "a"}


def test_begun_anew_nothing_of_before_counts(topic: Topic) -> None:
    topic.rebuild(dry_run=True)
    write(topic.service, text("UPDATE sb_new_item SET name = 'spoilt'"))
    assert topic.rebuild(restart=True).swapped
    assert items(topic.service) == RIGHT


def test_deliveries_that_go_on_meanwhile_are_all_in_the_new_table(service: Service) -> None:
    """Many batches, several rebuilds: nothing is written to a table that is not the replica's any more."""
    _rebuild_while_deliveries_go_on(service)


def test_a_rebuild_that_does_not_hold_the_group_is_rejected(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mutant: neither positions nor table are locked."""
    goals = fold_module.Fold._goals
    monkeypatch.setattr(
        fold_module.Fold, "_goals", lambda self, connection, lock: goals(self, connection, lock=False)
    )
    monkeypatch.setattr(PostgresShadow, "lock", lambda *_: None)
    service = Service(make_database("postgresql+psycopg"))
    with pytest.raises((AssertionError, LifecycleError)):
        _rebuild_often(service)
    drop_left(service)


def _rebuild_often(service: Service) -> None:
    for _ in range(10):
        drop_left(service)
        _rebuild_while_deliveries_go_on(service)


def _rebuild_while_deliveries_go_on(service: Service) -> None:
    for table in (Item, service.database.tables.position, service.database.tables.guard):
        write(service, delete(table))
    topic = Topic(service, service.plan(Item))
    dice, numbers, model = random.Random(7), dict[int, int](), dict[int, str]()
    over, errors = threading.Event(), list[BaseException]()

    def events() -> list[Any]:
        made = []
        for _ in range(dice.randint(1, 5)):
            key, name = dice.randint(1, 20), dice.choice("abcdef")
            numbers[key] = numbers.get(key, 0) + 1
            is_delete = dice.random() < 0.2
            made.append(changed("DELETE" if is_delete else "UPDATE", key, name, seq=numbers[key]))
            if is_delete:
                model.pop(key, None)
            else:
                model[key] = name
        return made

    def deliver() -> None:
        try:
            while not over.is_set():
                topic.deliver(*events())
        except BaseException as error:  # noqa: BLE001 - asserted below
            errors.append(error)

    topic.deliver(*events())
    writer = threading.Thread(target=deliver)
    writer.start()
    try:
        for _ in range(4):
            assert topic.rebuild().swapped
            assert topic.rebuilding().confirm()
    finally:
        over.set()
        writer.join(60)
    assert errors == []
    assert items(service) == model
    assert topic.difference().is_none


@pytest.mark.parametrize(("cls", "text_"), [(Offer, "do not fill all columns")], ids=["of several sources"])
def test_what_the_log_alone_does_not_make_is_refused(service: Service, cls: type, text_: str) -> None:
    topic = Topic(service, service.plan(cls))
    with pytest.raises(ConfigurationError, match=text_):
        topic.rebuild()


def test_a_published_replica_is_refused(topic: Topic) -> None:
    with pytest.raises(ConfigurationError, match="published in turn"):
        Rebuild(topic.service.database, topic.replica(), published=True)


def test_rows_kept_as_deleted_are_made_too(service: Service) -> None:
    topic = Topic(service, service.plan(Kept))
    topic.deliver(changed("INSERT", 1, "a", seq=1), changed("INSERT", 2, "b", seq=1), changed("DELETE", 1, seq=2))
    before = rows(service, select(Kept.id, Kept.name, Kept.deleted_at).order_by(Kept.id))
    write(service, update(Kept).values(name="x", deleted_at=None))
    assert topic.rebuild().swapped
    assert rows(service, select(Kept.id, Kept.name, Kept.deleted_at).order_by(Kept.id)) == before
