"""How rows get into the outbox: numbers, locks, durability, and ways of deleting."""

from __future__ import annotations

import re
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.orm import Session

from streambind.errors import CaptureError, SchemaError
from streambind.outbound.publish import publish
from tests.integration.capture.conftest import AND_MYSQL, Service, engine_service
from tests.integration.capture.models import LectureCategory, Point, Seat

WRITERS = 4
COMMITS = 25


@pytest.fixture(scope="module", params=AND_MYSQL)
def any_service(request: pytest.FixtureRequest) -> Iterator[Service]:
    yield from engine_service(request)


@pytest.fixture(params=["event", "tombstone", "event-and-tombstone"])
def deleting(request: pytest.FixtureRequest, service: Service) -> Iterator[tuple[str, Service]]:
    plan = service.plans["out-pointChanged"]
    plan.deletes = request.param
    yield request.param, service
    plan.deletes = "event"


def test_deletes_leave_as_the_binding_says(deleting: tuple[str, Service]) -> None:
    how, service = deleting

    def work(session: Session) -> None:
        point = Point(id=1, x=0)
        session.add(point)
        session.commit()
        session.delete(point)
        session.commit()

    service.do(work)

    expected: dict[str, list[Any]] = {
        "event": [("1", 2, "DELETE")],
        "tombstone": [("1", 2, None)],
        "event-and-tombstone": [("1", 2, "DELETE"), ("1", 3, None)],
    }
    assert service.shorts[1:] == expected[how]
    assert all(e.headers["type"] == b"PointChanged" for e in service.events)
    if "tombstone" in how:
        assert service.events[-1].payload is None


def test_where_only_a_tombstone_leaves_its_event_needs_no_form(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = service.plans["out-pointChanged"]
    service.commit(lambda s: s.add(Point(id=1, x=0)))
    monkeypatch.setattr(plan, "deletes", "tombstone")
    monkeypatch.setattr(plan, "max_payload_bytes", 10)

    service.commit(lambda s: s.delete(s.get_one(Point, 1)))

    assert service.shorts[1:] == [("1", 2, None)]


def test_the_json_is_that_of_the_source_document_but_for_its_time(service: Service) -> None:
    service.commit(lambda s: s.add(LectureCategory(category_id=2, category_name="최종테스트")))

    [event] = service.events
    assert event.payload is not None
    assert (
        re.sub(rb"\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d", b"2022-08-08-12:12:37", event.payload)
        == (
            '{"eventType":"LectureCategoryChanged","timestamp":"2022-08-08-12:12:37","jobType":"INSERT",'
            '"categoryId":2,"categoryName":"최종테스트"}'
        ).encode()
    )


def test_many_rows_of_one_flush_keep_their_order(service: Service) -> None:
    def work(session: Session) -> None:
        session.add_all([Seat(room=f"r{n % 7}", number=n) for n in range(2500)])

    service.commit(work)

    rooms: dict[str | None, list[tuple[int | None, int]]] = defaultdict(list)
    for row in service.events:
        if row.destination == "roomChanged":
            rooms[row.key].append((row.seq, row.json["number"]))
    assert sum(map(len, rooms.values())) == 2500
    for numbered in rooms.values():
        assert [seq for seq, _ in numbered] == list(range(1, len(numbered) + 1))
        assert [number for _, number in numbered] == sorted(number for _, number in numbered)


def test_numbers_are_dense_and_in_the_order_of_commits_with_many_writers(sync_service: Service) -> None:
    """Some transactions roll back; every key is written by everybody, in no particular order."""
    errors: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            for commit in range(COMMITS):
                keys = [(writer * 7 + commit * 3 + n) % 5 for n in range(3)]

                def work(session: Session, keys: list[int] = keys, commit: int = commit) -> None:
                    for key in keys:
                        publish(session, "out-bytes", b"x", key=key)
                    if commit % 4 == 3:
                        session.flush()
                        session.rollback()
                    else:
                        session.commit()

                sync_service.do(work)
        except BaseException as error:  # noqa: BLE001 - a thread's error is the test's
            errors.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    numbers: dict[str | None, list[int | None]] = defaultdict(list)
    for row in sync_service.events:
        numbers[row.key].append(row.seq)
    assert sum(map(len, numbers.values())) == WRITERS * (COMMITS - COMMITS // 4) * 3
    for seqs in numbers.values():
        assert seqs == list(range(1, len(seqs) + 1))


def test_a_number_that_was_rolled_back_is_given_again(service: Service) -> None:
    def work(session: Session) -> None:
        point = Point(id=1, x=0)
        session.add(point)
        session.commit()
        point.x = 1
        session.flush()
        session.rollback()
        point.x = 2
        session.commit()

    service.do(work)

    assert [(e.seq, e.json["x"]) for e in service.events] == [(1, 0), (2, 2)]


@pytest.mark.parametrize(
    ("before", "after"), [("off", "on"), ("on", "on"), ("local", "local"), ("remote_apply", "remote_apply")]
)
def test_a_transaction_with_events_is_durable_before_it_is_visible(
    postgres_service: Service, before: str, after: str
) -> None:
    def setting(connection: Connection) -> str:
        return str(connection.scalar(text("SHOW synchronous_commit")))

    def work(session: Session) -> None:
        session.execute(text(f"SET LOCAL synchronous_commit = {before}"))
        session.add(Point(id=1, x=0))
        session.flush()
        assert setting(session.connection()) == after
        session.rollback()
        session.execute(text(f"SET synchronous_commit = {before}"))
        session.commit()
        publish(session, "out-bytes", b"x")
        session.flush()
        session.add(Point(id=2, x=0))
        session.flush()
        assert setting(session.connection()) == after
        session.commit()
        # For the transaction only: the rest of the connection's life is the user's.
        assert setting(session.connection()) == before
        session.execute(text("RESET synchronous_commit"))
        session.commit()

    postgres_service.do(work)


def test_counters_are_taken_in_the_order_of_their_keys(service: Service) -> None:
    """Two transactions that publish the same keys in different orders would deadlock otherwise."""
    if service.database.dialect.name != "postgresql":
        pytest.skip(
            "elsewhere they lie in the order of their keys anyhow, or a writer has the database for itself"
        )

    def work(session: Session) -> None:
        for number in (3, 1, 5, 2, 4):
            publish(session, "out-bytes", b"x", key=f"key-{number}")
        session.commit()

    service.do(work)

    taken = service.do(lambda session: session.scalars(text("SELECT key FROM sb_key ORDER BY ctid")).all())
    assert [bytes(key) for key in taken] == [f"key-{number}".encode() for number in (1, 2, 3, 4, 5)]


def test_what_could_not_be_written_cannot_be_committed_without_it(sync_service: Service) -> None:
    if sync_service.dialect == "mysql":
        pytest.skip("ALTER TABLE commits")
    outbox = sync_service.database.tables.outbox

    def work(session: Session) -> None:
        session.execute(text(f"ALTER TABLE {outbox.name} RENAME TO elsewhere"))
        publish(session, "out-bytes", b"x", key=1)
        with pytest.raises(SchemaError):
            session.commit()
        with pytest.raises(CaptureError, match="cannot commit: roll it back"):
            session.commit()
        session.rollback()
        publish(session, "out-bytes", b"y", key=1)
        session.commit()

    sync_service.do(work)

    assert [(e.seq, e.payload) for e in sync_service.events] == [(1, b"y")]


def test_keys_of_one_flush_are_counted_together(service: Service) -> None:
    statements: Counter[str] = Counter()

    def count(session: Session) -> None:
        def seen(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            for table in ("sb_key", "sb_outbox"):
                if f"INSERT INTO {table}" in statement:
                    statements[table] += 1

        event.listen(service.database.engine, "before_cursor_execute", seen)
        try:
            session.add_all([Point(id=n, x=0) for n in range(1, 51)])
            session.commit()
        finally:
            event.remove(service.database.engine, "before_cursor_execute", seen)

    service.do(count)

    assert statements == {"sb_key": 1, "sb_outbox": 1}
