"""The questions of `verify` to real databases, and mutants of what they hold."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, insert, update

from streambind.event_loop import EventLoop
from streambind.outbound.outbox import Outbox
from streambind.outbound.outgoing import Outgoing
from streambind.persistence import key_chunks
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables
from streambind.verification import key_rows
from streambind.verification.group import GroupKeys
from streambind.verification.source import SourceKeys
from streambind.verification.verdict import Given, State
from streambind.verification.verify import Log, Report, verify
from tests.integration.relay.commits import event
from tests.integration.urls import drivers, url_of

DESTINATION, GROUP = "lectures", "readers"
NOTHING = Log(lambda: {0: 100}, lambda starts, until: ())
KEYS = [b"%02d" % n for n in range(23)]


@pytest.fixture(
    params=drivers(
        *("sqlite", "sqlite+aiosqlite"),
        *("postgresql+psycopg", "postgresql+asyncpg"),
        *("mysql+pymysql", "mysql8+pymysql"),
    )
)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """One database for both sides: they do not share tables."""
    loop = EventLoop()
    it = Database.from_url(url_of(request.param, request, tmp_path), loop=loop)
    create_tables(it)
    yield it
    it.dispose()
    loop.close()


@pytest.fixture(autouse=True)
def _in_small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_rows, "CHUNK", 5)
    monkeypatch.setattr(key_chunks, "KEYS_PER_STATEMENT", 3)


def id_of(message: Outgoing) -> uuid.UUID:
    return uuid.UUID(message.event_id)


def commit(database: Database, rounds: int = 2) -> None:
    """Two events of each key, sent and deleted; and events of others, which are none of its business."""

    def work(connection: Connection) -> None:
        outbox = Outbox(database)
        for _ in range(rounds):
            outbox.write(connection, [event(key) for key in KEYS])
        outbox.write(connection, [event(b"00", destination="elsewhere"), event(None)])
        connection.execute(delete(database.tables.outbox))

    database.run(work)


def apply_all(database: Database) -> None:
    """What an honest group would have in its tables."""
    source = SourceKeys(database, DESTINATION)
    rows = [
        {"source_id": source.identity().source_id, "key": key, "seq": given.seq, "event_id": str(given.event_id)}
        for key, given in source.walk()
    ]
    rows += [{**rows[0], "source_id": "another", "seq": 99}]
    common = {"group_name": GROUP, "destination": DESTINATION, "epoch": 1, "updated_ms": 0}
    others = [{**rows[0], **common, "group_name": "others", "seq": 99}]
    others += [{**rows[0], **common, "destination": "elsewhere", "seq": 99}]
    place = {"group_name": GROUP, "destination": DESTINATION, "partition": 0, "next_offset": 100}
    position = {**place, "start": "earliest", "start_offset": 0, "updated_ms": 0}

    def work(connection: Connection) -> None:
        connection.execute(insert(database.tables.guard), [{**row, **common} for row in rows] + others)
        connection.execute(insert(database.tables.position), [position])

    database.run(work)


def look(database: Database, log: Log = NOTHING) -> Report:
    return verify(
        SourceKeys(database, DESTINATION),
        lambda source_id: GroupKeys(database, GROUP, DESTINATION, source_id),
        log,
        limit=20,
    )


def counts(database: Database) -> Mapping[State, int]:
    return look(database).counts


def test_all_keys_are_walked_in_their_order(database: Database) -> None:
    commit(database)
    assert [key for key, _ in SourceKeys(database, DESTINATION).walk()] == KEYS
    apply_all(database)
    source_id = SourceKeys(database, DESTINATION).identity().source_id
    assert [key for key, _ in GroupKeys(database, GROUP, DESTINATION, source_id).walk()] == KEYS
    assert counts(database) == {State.APPLIED: 23}


def test_a_source_that_has_committed_nothing(database: Database) -> None:
    assert counts(database) == {}


def test_the_event_that_has_the_last_number_is_kept_with_it(database: Database) -> None:
    events = [event(b"a"), event(b"b"), event(b"a")]
    database.run(lambda connection: Outbox(database).write(connection, events))
    source = SourceKeys(database, DESTINATION)
    assert dict(source.walk()) == {b"a": Given(2, id_of(events[2])), b"b": Given(1, id_of(events[1]))}
    later = event(b"b")
    database.run(lambda connection: Outbox(database).write(connection, [later]))
    assert source.given([b"b", b"missing"]) == {b"b": Given(2, id_of(later))}
    assert source.unsent([b"a", b"b", b"missing"]) == {b"a": 1, b"b": 1}


def _guard_of(database: Database, key: bytes, **values: object) -> None:
    guard = database.tables.guard
    own = (guard.c.group_name == GROUP, guard.c.destination == DESTINATION, guard.c.source_id != "another")
    database.run(lambda c: c.execute(update(guard).where(*own, guard.c.key == key).values(**values)))


def _lose(database: Database) -> None:
    guard = database.tables.guard
    database.run(lambda c: c.execute(delete(guard).where(guard.c.key == b"07", guard.c.source_id != "another")))


def _forget(database: Database) -> None:
    table = database.tables.key
    database.run(lambda c: c.execute(delete(table).where(table.c.key == b"07")))


MUTANTS: dict[str, tuple[Callable[[Database], None], State]] = {
    "a lost row": (_lose, State.MISSING),
    "a lost event": (lambda database: _guard_of(database, b"07", seq=1), State.MISSING),
    "a forked key": (lambda database: _guard_of(database, b"07", event_id=str(uuid.uuid4())), State.FORKED),
    "a guard ahead": (lambda database: _guard_of(database, b"07", seq=3), State.AHEAD),
    "a guard of a later epoch": (lambda database: _guard_of(database, b"07", epoch=2), State.AHEAD),
    "a key that the source does not know": (_forget, State.AHEAD),
}


@pytest.mark.parametrize(("change", "expected"), MUTANTS.values(), ids=MUTANTS)
def test_it_rejects(database: Database, change: Callable[[Database], None], expected: State) -> None:
    commit(database)
    apply_all(database)
    change(database)
    report = look(database)
    assert report.counts == {State.APPLIED: 22, expected: 1}
    assert [example.key for example in report.examples[expected]] == [b"07"]


def test_what_waits_is_not_missing(database: Database) -> None:
    commit(database)
    apply_all(database)
    database.run(lambda connection: Outbox(database).write(connection, [event(b"01"), event(b"02"), event(b"03")]))
    tables = database.tables
    source_id = SourceKeys(database, DESTINATION).identity().source_id
    common = {"destination": DESTINATION, "reason": "too large", "since_ms": 0}
    set_aside = {
        "group_name": GROUP,
        "destination": DESTINATION,
        "key": b"03",
        "partition": 0,
        "offset": 50,
        "source_id": source_id,
        "epoch": 1,
        "seq": 3,
        "parked_ms": 0,
    }

    def work(connection: Connection) -> None:
        connection.execute(insert(tables.blocked), [{**common, "key": b"02"}])
        connection.execute(delete(tables.outbox).where(tables.outbox.c.key == b"03"))
        connection.execute(insert(tables.parked), [set_aside])

    database.run(work)
    expected = {State.APPLIED: 20, State.IN_OUTBOX: 1, State.BLOCKED: 1, State.PARKED: 1}
    assert look(database).counts == expected


def test_a_group_that_began_within_the_log_has_not_seen_all(database: Database) -> None:
    commit(database)
    apply_all(database)
    _lose(database)
    position = database.tables.position
    database.run(lambda c: c.execute(update(position).values(start="latest")))
    assert counts(database) == {State.APPLIED: 22, State.UNSEEN: 1}
