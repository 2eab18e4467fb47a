"""What a table must be for another one to take its place, who is waited for, and what goes along."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import select, text

from streambind.errors import ConfigurationError
from streambind.persistence import database as database_module
from streambind.persistence import postgres_shadow
from streambind.replicas import fold as fold_module
from streambind.testing.eventually import eventually
from tests.integration.inbound.conftest import MakeDatabase
from tests.integration.inbound.replicas import Item, changed, items, rows
from tests.integration.inbound.service import Service
from tests.integration.inbound.test_replica_rebuild import kept, service, topic, write
from tests.integration.inbound.topic import Topic, drop_left

__all__ = ["service", "topic"]


def test_whoever_reads_the_table_is_waited_for(
    make_database: MakeDatabase, request: pytest.FixtureRequest
) -> None:
    service = Service(make_database("postgresql+psycopg"))
    drop_left(service)
    topic = Topic(service, service.plan(Item))
    topic.deliver(changed("INSERT", 1, "a", seq=1))
    with service.database.engine.connect() as reader:
        reader.execute(select(Item)).all()
        rebuilding = threading.Thread(target=topic.rebuild)
        rebuilding.start()
        rebuilding.join(1)
        assert rebuilding.is_alive()
        assert reader.execute(select(Item.name)).scalar_one() == "a"
        reader.commit()
    rebuilding.join(60)
    assert not rebuilding.is_alive()
    assert kept(service) == {1: "a"}
    drop_left(service)


def test_for_whoever_reads_it_for_long_the_group_is_let_go_again_and_again(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_shadow, "LOCK_WAIT_MS", 200)
    monkeypatch.setattr(database_module, "OPERATOR_TIMEOUT_MS", 60_000)
    monkeypatch.setattr(fold_module, "_TRIES", 1000)
    service = Service(make_database("postgresql+psycopg"))
    drop_left(service)
    topic = Topic(service, service.plan(Item))
    topic.deliver(changed("INSERT", 1, "a", seq=1))
    tries: list[None] = []
    catch_up = fold_module.Fold.catch_up

    def counted(self: fold_module.Fold, progress: Any) -> None:
        tries.append(None)
        catch_up(self, progress)

    monkeypatch.setattr(fold_module.Fold, "catch_up", counted)
    with service.database.engine.connect() as reader:
        reader.execute(select(Item)).all()
        rebuilding = threading.Thread(target=topic.rebuild)
        rebuilding.start()
        eventually(lambda: len(tries) > 2, 40, "it waits for the reader")
        topic.deliver(changed("UPDATE", 1, "b", seq=2))
        reader.commit()
    rebuilding.join(60)
    assert not rebuilding.is_alive()
    assert (items(service), kept(service)) == ({1: "b"}, {1: "b"})
    drop_left(service)


_VIEW = ("CREATE VIEW seen AS SELECT id FROM item", "DROP VIEW seen", "views read it")
_CHILD = ("CREATE TABLE child (id INT, FOREIGN KEY (id) REFERENCES item (id))", "DROP TABLE child", "refer")
_TRIGGER = (
    "CREATE TRIGGER told AFTER DELETE ON item FOR EACH ROW DELETE FROM badge WHERE id = OLD.id",
    "DROP TRIGGER told",
    "has triggers",
)
_SQLITE_TRIGGER = (
    "CREATE TRIGGER told AFTER DELETE ON item BEGIN DELETE FROM badge WHERE id = OLD.id; END",
    "DROP TRIGGER told",
    "triggers concern it",
)
_POSTGRES_TRIGGER = (
    "CREATE TRIGGER told BEFORE UPDATE ON item FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "DROP TRIGGER told ON item",
    "has triggers",
)
_SECURED = (
    "ALTER TABLE item ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE item DISABLE ROW LEVEL SECURITY",
    "security",
)
_SENT = ("CREATE PUBLICATION told FOR TABLE item", "DROP PUBLICATION told", "a publication of PostgreSQL sends it")
# PostgreSQL remembers for a while that there were heirs.
_INHERITED = ("CREATE TABLE heir () INHERITS (item)", "DROP TABLE heir", "inherited from")
_OF_ANOTHER_ENGINE = ("ALTER TABLE item ENGINE = MyISAM", "ALTER TABLE item ENGINE = InnoDB", "not InnoDB's")
OBSTACLES = {
    "sqlite": [_VIEW, _CHILD, _SQLITE_TRIGGER],
    "postgresql": [_VIEW, _CHILD, _POSTGRES_TRIGGER, _SECURED, _SENT, _INHERITED],
    "mysql": [_CHILD, _TRIGGER, _OF_ANOTHER_ENGINE],
}


def test_a_table_that_cannot_be_swapped_is_refused(topic: Topic) -> None:
    for make, drop, why in OBSTACLES[topic.service.database.dialect.name]:
        write(topic.service, text(make))
        try:
            with pytest.raises(ConfigurationError, match=why):
                topic.rebuild()
        finally:
            write(topic.service, text(drop))
        assert topic.tables() == set()


def test_indexes_defaults_grants_and_owner_go_along(make_database: MakeDatabase) -> None:
    service = Service(make_database("postgresql+psycopg"))
    drop_left(service)
    topic = Topic(service, service.plan(Item))
    topic.deliver(changed("INSERT", 1, "a", seq=1))

    def run(*statements: str) -> None:
        for statement in statements:
            write(service, text(statement))

    for role in ("rebuild_reader", "rebuild_owner"):
        run(f"DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    run(
        "ALTER TABLE item OWNER TO rebuild_owner",
        "GRANT SELECT ON item TO rebuild_reader WITH GRANT OPTION",
        "GRANT INSERT ON item TO rebuild_reader",
        "GRANT UPDATE (name) ON item TO rebuild_reader",
        "CREATE INDEX item_names ON item (name)",
        "ALTER TABLE item ALTER price SET DEFAULT 3",
    )
    assert topic.rebuild().swapped
    assert topic.rebuilding().confirm()
    write(
        service,
        text("INSERT INTO item (id, name) VALUES (nextval(pg_get_serial_sequence('item', 'id')) + 6, 'd')"),
    )
    assert rows(service, text("SELECT id, name, price FROM item ORDER BY id")) == [(1, "a", 0), (7, "d", 3)]
    assert _may(service, "SELECT", "SELECT WITH GRANT OPTION", "INSERT", "INSERT WITH GRANT OPTION", "UPDATE") == [
        *(True, True, True, False, False)
    ]
    of_columns = "has_column_privilege('rebuild_reader', 'item', '{}', 'UPDATE')"
    granted = text(f"SELECT {of_columns.format('name')}, {of_columns.format('price')}")
    assert rows(service, granted) == [(True, False)]
    assert rows(service, text("SELECT tableowner FROM pg_tables WHERE tablename = 'item'")) == [("rebuild_owner",)]
    indexed = "SELECT indexdef FROM pg_indexes WHERE tablename = 'item'"
    assert any("(name)" in definition for (definition,) in rows(service, text(indexed)))
    run("ALTER TABLE item OWNER TO CURRENT_USER", "DROP OWNED BY rebuild_reader")


def _may(service: Service, *privileges: str) -> list[bool]:
    """Whether the reader has each of these."""
    asked = ", ".join(f"has_table_privilege('rebuild_reader', 'item', '{each}')" for each in privileges)
    ((*answers,),) = rows(service, text(f"SELECT {asked}"))
    return answers
