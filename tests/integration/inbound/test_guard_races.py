"""One key in two partitions (their number was raised, and the sender repeated a record): both owners at once.

Deterministic: an owner stands still in its handler until the other one has come as far as it can.
"""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.event import listen
from sqlalchemy.orm import Session

from streambind.binding.outcome import Continue, Outcome
from streambind.inbound.guard import Examination, SequenceGuard
from streambind.inbound.input import InputPlan
from streambind.persistence.postgresql import PostgreSQL
from streambind.testing.eventually import eventually
from tests.integration.inbound.service import DESTINATION, GROUP, Event, Service, event, keep
from tests.unit.inbound.batches import SOURCE, ListBatch, numbered

DEADLINE_S = 30


def fourth(partition: int, *numbers: int, start: int = 0) -> ListBatch:
    return ListBatch([numbered(event("k", n), "k", n) for n in numbers], start, DESTINATION, partition)


def of_keys(partition: int, *keys: str) -> ListBatch:
    return ListBatch([numbered(event(key, 1), key, 1) for key in keys], 0, DESTINATION, partition)


def guard_row(key: str, *, source: str = SOURCE) -> dict[str, object]:
    """As the group has it after number 1 of a key."""
    identity = {"group_name": GROUP, "destination": DESTINATION, "source_id": source, "key": key.encode()}
    return {**identity, "epoch": 1, "seq": 1, "updated_ms": 0}


class Owner:
    """One owner of one partition, in a thread; its handler stands still where the test wants it."""

    def __init__(self, service: Service, batch: ListBatch, *, stands_still: bool = False) -> None:
        self.in_handler = threading.Event()
        self.go_on = threading.Event()
        self.outcome: Outcome | None = None
        self.handled: list[int] = []
        if not stands_still:
            self.go_on.set()

        def handle(event: Event, session: Session) -> None:
            keep(event, session)
            session.flush()
            self.handled.append(event.number)
            self.in_handler.set()
            assert self.go_on.wait(DEADLINE_S)

        self.plan: InputPlan = service.plan(handle, adopt=None)
        self._thread = threading.Thread(target=self._deliver, args=(batch,))
        self._thread.start()

    def _deliver(self, batch: ListBatch) -> None:
        self.outcome = self.plan.deliver(batch)

    def end(self) -> Outcome:
        self._thread.join(DEADLINE_S)
        assert self.outcome is not None
        return self.outcome


_WAITING = {
    "postgresql": "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE :statement",
    # Not innodb_trx: whoever asks it often is told the same again.
    "mysql": """
        FROM information_schema.processlist WHERE info LIKE :statement AND (
            SELECT variable_value FROM {schema}.global_status
            WHERE variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS'
        ) > 0
    """,
}


def wait_for_lock(service: Service, statement: str, *, sessions: int = 1) -> None:
    """Return when so many sessions of the database wait for a lock in such a statement."""
    is_mariadb = getattr(service.database.engine.dialect, "is_mariadb", False)
    schema = "information_schema" if is_mariadb else "performance_schema"
    query = text(f"SELECT count(*) {_WAITING[service.database.dialect.name].format(schema=schema)}")
    eventually(
        lambda: service.database.run(lambda c: c.scalar(query, {"statement": f"{statement}%"})) == sessions,
        DEADLINE_S,
        "the other owner never came to wait for the lock",
    )


def test_a_known_key_is_locked_the_second_owner_sees_the_first_ones_number(locking_service: Service) -> None:
    service = locking_service
    service.plan(keep).deliver(fourth(0, 1, 2, 3))

    first = Owner(service, fourth(0, 4, start=3), stands_still=True)
    assert first.in_handler.wait(DEADLINE_S)
    second = Owner(service, fourth(1, 4))
    wait_for_lock(service, "SELECT /*%*/ sb_guard")
    first.go_on.set()

    assert (first.end(), second.end()) == (Outcome(1, Continue()), Outcome(1, Continue()))
    assert service.effects() == [("k", n) for n in (1, 2, 3, 4)]
    assert (first.handled, second.handled) == ([4], [])
    assert second.plan.statistics.figures().duplicates == 1
    assert (service.position(0), service.position(1)) == (4, 1)


def test_a_new_key_that_two_owners_handle_at_once_has_the_effects_of_one(locking_service: Service) -> None:
    """There is no row to lock yet: both handlers run, and the slower owner is rolled back and sees why."""
    service = locking_service
    service.plan(keep)
    first = Owner(service, fourth(0, 1), stands_still=True)
    assert first.in_handler.wait(DEADLINE_S)
    second = Owner(service, fourth(1, 1), stands_still=True)
    assert second.in_handler.wait(DEADLINE_S)
    first.go_on.set()
    assert first.end() == Outcome(1, Continue())
    second.go_on.set()

    assert second.end() == Outcome(0, Continue())
    assert service.effects() == [("k", 1)]
    assert second.plan.deliver(fourth(1, 1)) == Outcome(1, Continue())
    assert service.effects() == [("k", 1)]
    assert second.plan.statistics.figures().duplicates == 1


def test_the_slower_owner_waits_for_the_faster_ones_new_key(locking_service: Service) -> None:
    """Inserting a key that another transaction has inserted waits for its end, whichever way it ends."""
    service = locking_service
    service.plan(keep)
    first = Owner(service, fourth(0, 1), stands_still=True)
    second = Owner(service, fourth(1, 1))
    assert first.in_handler.wait(DEADLINE_S)
    assert second.end() == Outcome(1, Continue())
    first.go_on.set()

    assert first.end() == Outcome(0, Continue())
    assert service.effects() == [("k", 1)]


def test_two_owners_insert_new_keys_in_one_order(locking_service: Service) -> None:
    """Both wait for a third; were each of them to hold what the other one needs next, they would never end."""
    service = locking_service
    service.plan(keep)
    first = Owner(service, of_keys(0, "a", "m", "z"), stands_still=True)
    second = Owner(service, of_keys(1, "z", "m", "a"), stands_still=True)
    assert first.in_handler.wait(DEADLINE_S)
    assert second.in_handler.wait(DEADLINE_S)
    with service.database.engine.connect() as third:
        third.execute(insert(service.database.tables.guard).values(guard_row("m")))
        first.go_on.set()
        second.go_on.set()
        wait_for_lock(service, "INSERT INTO sb_guard", sessions=2)
        third.rollback()

    outcomes = [first.end(), second.end()]
    assert sorted(outcome.done for outcome in outcomes) == [0, 3]
    assert [outcome.then for outcome in outcomes] == [Continue(), Continue()]
    assert sorted(service.effects()) == [("a", 1), ("m", 1), ("z", 1)]


KEYS = [f"k{n:02}" for n in range(20)]
SOURCES = [f"source-{n:02}" for n in range(20)]


@pytest.mark.parametrize(
    ("chains", "held"),
    [
        pytest.param([(SOURCES[0], key) for key in KEYS], (SOURCES[0], KEYS[10]), id="keys"),
        pytest.param([(source, "k") for source in SOURCES], (SOURCES[10], "k"), id="sources"),
    ],
)
def test_rows_are_locked_in_the_order_of_sources_and_keys(
    postgres_service: Service, chains: list[tuple[str, str]], held: tuple[str, str]
) -> None:
    """An owner that waits for a row holds those before it, and none of those after it."""
    service = postgres_service
    service.plan(keep)
    table = service.database.tables.guard
    # Rows that lie in the wrong order, and no index to find them by.
    rows = [guard_row(key, source=source) for source, key in reversed(chains)]
    service.database.run(lambda connection: connection.execute(insert(table), rows))
    listen(service.database.engine, "connect", _without_indexes)
    service.database.engine.dispose()

    chain = select(table.c.source_id, table.c.key)
    with service.database.engine.connect() as third, service.database.engine.connect() as looking:
        mine = chain.where(table.c.source_id == held[0], table.c.key == held[1].encode())
        assert len(third.execute(mine.with_for_update()).all()) == 1
        records = [numbered(event(key, 2), key, 2, source=source) for source, key in reversed(chains)]
        owner = Owner(service, ListBatch(records, 0, DESTINATION, 0))
        wait_for_lock(service, "SELECT /*%*/ sb_guard")
        free = looking.execute(chain.with_for_update(skip_locked=True)).all()
        looking.rollback()
        third.rollback()

    assert owner.end() == Outcome(len(chains), Continue())
    assert sorted((row.source_id, row.key.decode()) for row in free) == [c for c in chains if c > held]


def _without_indexes(connection: DBAPIConnection, _: object) -> None:
    cursor = connection.cursor()
    for kind in ("indexscan", "indexonlyscan", "bitmapscan"):
        cursor.execute(f"SET enable_{kind} = off")
    cursor.close()
    connection.commit()


def test_the_races_reject_a_guard_that_reads_without_locking(
    postgres_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = postgres_service
    service.plan(keep).deliver(fourth(0, 1, 2, 3))
    monkeypatch.setattr(PostgreSQL, "locked", lambda self, query, **_: query)

    first = Owner(service, fourth(0, 4, start=3), stands_still=True)
    assert first.in_handler.wait(DEADLINE_S)
    second = Owner(service, fourth(1, 4), stands_still=True)
    assert second.in_handler.wait(DEADLINE_S)
    first.go_on.set()
    first.end()
    second.go_on.set()
    second.end()

    assert service.effects().count(("k", 4)) == 2


def test_the_races_reject_a_guard_that_overwrites_a_new_key(
    postgres_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = postgres_service
    service.plan(keep)

    def record(
        self: SequenceGuard, connection: Connection, destination: str, found: Examination, *, passed_over: bool
    ) -> None:
        for chain, last in found.applied.items():
            values = {"source_id": chain.source_id, "key": chain.key, "epoch": last.epoch, "seq": last.seq}
            identity = {"group_name": self._group, "destination": destination, "updated_ms": 0}
            statement = postgresql.insert(self._table).values(**identity, **values).on_conflict_do_nothing()
            connection.execute(statement)

    monkeypatch.setattr(SequenceGuard, "record", record)

    first = Owner(service, fourth(0, 1), stands_still=True)
    assert first.in_handler.wait(DEADLINE_S)
    second = Owner(service, fourth(1, 1))
    assert second.in_handler.wait(DEADLINE_S)
    first.go_on.set()
    first.end()
    second.end()

    assert service.effects().count(("k", 1)) == 2
