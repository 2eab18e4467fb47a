"""`publish()`: messages of one's own in the session's transaction, outbox and order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, insert, text
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from streambind.errors import CaptureError, EncodeError, UncapturedChangeError
from streambind.event_loop import await_result
from streambind.outbound.publish import publish, suppress_events
from tests.integration.capture.conftest import Service
from tests.integration.capture.models import LectureCategory, LectureChanged, Point


def test_a_message_commits_alone(service: Service) -> None:
    enrolled = LectureChanged(lecture_id=7, title="t", category_id=None, job_type="INSERT")
    service.commit(lambda s: publish(s, "out-bytes", enrolled, key="7", headers={"tenant": "a"}))

    [event] = service.events
    assert (event.binding, event.destination, event.key, event.seq) == ("out-bytes", "bytes", "7", 1)
    assert event.json["lectureId"] == 7
    assert event.headers["type"] == b"LectureChanged"
    assert event.headers["tenant"] == b"a"
    assert len(service.woken) == 1


def test_messages_and_entities_share_the_numbers_of_a_key(service: Service) -> None:
    def work(session: Session) -> None:
        point = Point(id=1, x=0)
        publish(session, "out-pointChanged", {"said": "before"}, key=1)
        session.add(point)
        session.flush()
        publish(session, "out-pointChanged", {"said": "between"}, key=b"1")
        point.x = 1
        session.flush()
        publish(session, "out-pointChanged", {"said": "after"}, key="1")
        session.commit()

    service.do(work)

    told = [(e.seq, e.json.get("said") or e.json["jobType"]) for e in service.events]
    assert told == [(1, "before"), (2, "INSERT"), (3, "between"), (4, "UPDATE"), (5, "after")]


def test_a_message_without_key_has_no_number(service: Service) -> None:
    service.commit(lambda s: publish(s, "out-bytes", b"x"))

    assert [(e.key, e.seq, e.shard) for e in service.events] == [(None, None, 0)]


def test_none_is_a_tombstone(service: Service) -> None:
    service.commit(lambda s: publish(s, "out-bytes", None, key=1))

    assert [(e.key, e.seq, e.payload) for e in service.events] == [("1", 1, None)]


def test_the_payload_is_encoded_at_the_call(service: Service) -> None:
    def work(session: Session) -> None:
        payload = {"a": 1}
        publish(session, "out-bytes", payload)
        payload["a"] = 2
        with pytest.raises(EncodeError, match="out-bytes"):
            publish(session, "out-bytes", object())
        session.commit()

    service.do(work)

    assert [e.json for e in service.events] == [{"a": 1}]


def test_wrong_bindings_are_named(service: Service) -> None:
    def work(session: Session) -> None:
        with pytest.raises(CaptureError, match=r"no output binding 'out-byte'; did you mean 'out-bytes'\?"):
            publish(session, "out-byte", b"x")
        with pytest.raises(CaptureError, match=r"out-direct.*stream\.bridge\.send"):
            publish(session, "out-direct", b"x")
        with pytest.raises(CaptureError, match="513 bytes"):
            publish(session, "out-bytes", b"x", key="k" * 513)

    service.do(work)


@pytest.mark.parametrize("hook", ["before_commit", "after_flush", "after_flush_postexec", "before_flush"])
def test_messages_of_hooks_are_written_whichever_hook_it_is(service: Service, hook: str) -> None:
    def work(session: Session) -> None:
        done: list[None] = []

        def publish_once(*_: Any) -> None:
            if not done:
                done.append(None)
                publish(session, "out-bytes", hook.encode())

        event.listen(session, hook, publish_once)
        session.add(Point(id=1, x=0))
        session.commit()

    service.do(work)

    assert sorted(e.destination for e in service.events) == ["bytes", "pointChanged"]


def test_a_message_of_a_hook_is_written_though_nothing_else_is(service: Service) -> None:
    def work(session: Session) -> None:
        event.listen(session, "before_commit", lambda s: publish(s, "out-bytes", b"x"), once=True)
        session.commit()

    service.do(work)

    assert [e.payload for e in service.events] == [b"x"]


def test_a_message_of_a_hook_after_the_commit_is_refused(service: Service) -> None:
    errors: list[Exception] = []

    def work(session: Session) -> None:
        def too_late(session: Session) -> None:
            try:
                publish(session, "out-bytes", b"x")
            except CaptureError as error:
                errors.append(error)

        event.listen(session, "after_commit", too_late)
        session.add(Point(id=1, x=0))
        session.commit()

    service.do(work)

    assert re.search("has ended", str(errors[0]))
    assert service.shorts == [("1", 1, "INSERT")]


def test_an_application_without_published_classes_publishes(sync_service: Service) -> None:
    sync_service.capture.detach()
    capture = sync_service.new_capture([])
    capture.attach()
    sync_service.commit(lambda s: publish(s, "out-bytes", b"x"))
    sync_service.commit(lambda s: s.execute(text("DELETE FROM point")))
    capture.detach()

    assert [e.payload for e in sync_service.events] == [b"x"]


def test_a_session_on_another_database_is_refused(sync_service: Service, tmp_path: Path) -> None:
    sessions: Any = sync_service.database.sessions
    elsewhere = create_engine(f"sqlite:///{tmp_path / 'elsewhere.db'}")
    with sessions(bind=elsewhere) as session:
        publish(session, "out-bytes", b"x")
        with pytest.raises(CaptureError, match=r"elsewhere\.db.*only commit together in one database"):
            session.commit()
    elsewhere.dispose()

    assert sync_service.events == []


def test_sessions_of_listeners_publish_too(service: Service) -> None:
    service.database.run_session(lambda session, _: session.add(Point(id=1, x=0)))

    assert service.shorts == [("1", 1, "INSERT")]


def test_a_session_that_must_be_begun_must_be_begun(sync_service: Service) -> None:
    sessions: Any = sync_service.database.sessions
    with sessions(autobegin=False) as session:
        with pytest.raises(CaptureError, match="out-bytes: begin the session's transaction first"):
            publish(session, "out-bytes", b"x")
        with session.begin():
            publish(session, "out-bytes", b"y")

    assert [e.payload for e in sync_service.events] == [b"y"]


def test_scoped_sessions_stand_for_their_session(sync_service: Service) -> None:
    sessions: Any = sync_service.database.sessions
    scoped = scoped_session(sessions)
    publish(scoped, "out-bytes", b"x")  # type: ignore[arg-type]
    with suppress_events(scoped):  # type: ignore[arg-type]
        scoped.add(Point(id=1, x=0))
    scoped.commit()
    scoped.remove()

    assert [e.payload for e in sync_service.events] == [b"x"]


def test_an_async_session_publishes_without_awaiting(async_service: Service) -> None:
    sessions: Any = async_service.database.sessions

    async def work() -> None:
        session: AsyncSession
        async with sessions() as session:
            publish(session, "out-bytes", b"1", key=1)
            async with session.begin_nested():
                publish(session, "out-bytes", b"2", key=1)
            savepoint = await session.begin_nested()
            publish(session, "out-bytes", b"lost", key=1)
            await savepoint.rollback()
            category = LectureCategory(category_id=1, category_name="a")
            session.add(category)
            await session.flush()
            publish(session, "out-bytes", b"3", key=1)
            await session.commit()
            category.category_name = "b"
            if async_service.captures_inserts:
                await session.execute(insert(Point), [{"id": 1, "x": 1}])
            else:
                session.add(Point(id=1, x=1))
            await session.commit()
        scoped = async_scoped_session(sessions, scopefunc=lambda: 1)
        publish(scoped, "out-bytes", b"4")  # type: ignore[arg-type]
        await scoped.commit()
        await scoped.remove()

    _await(async_service, work)

    assert [(e.destination, e.seq) for e in async_service.events] == [
        ("bytes", 1),
        ("bytes", 2),
        ("categoryChanged", 1),
        ("bytes", 3),
        ("categoryChanged", 2),
        ("pointChanged", 1),
        ("bytes", None),
    ]


def test_suppress_events_of_an_async_session(async_service: Service) -> None:
    sessions: Any = async_service.database.sessions

    async def work() -> None:
        session: AsyncSession
        async with sessions() as session:
            session.add(Point(id=1, x=0))
            async with suppress_events(session):
                session.add(Point(id=2, x=0))
            session.add(Point(id=3, x=0))
            with pytest.raises(CaptureError, match=r"begins.*async with"), suppress_events(session):
                pass
            await session.flush()
            with pytest.raises(CaptureError, match=r"ends.*await session\.flush"), suppress_events(session):
                session.add(Point(id=4, x=0))
            session.expunge_all()
            with suppress_events(session):
                session.add(Point(id=5, x=0))
                await session.flush()
            await session.commit()
            # One that existed before the application was built, or has another class, is refused.
            async with AsyncSession(session.bind) as stranger:
                stranger.add(Point(id=6, x=0))
                with pytest.raises(UncapturedChangeError, match="belongs to no streambind application"):
                    await stranger.flush()

    _await(async_service, work)

    assert async_service.shorts == [("1", 1, "INSERT"), ("3", 1, "INSERT")]


def _await(service: Service, work: Any) -> None:
    service.database.loop.call(lambda: await_result(work()))


def test_suppress_events_covers_what_is_added_inside_and_nothing_else(service: Service) -> None:
    def work(session: Session) -> None:
        session.add(Point(id=1, x=0))
        with suppress_events(session):
            session.add(Point(id=2, x=0))
            with suppress_events(session):
                session.add(Point(id=3, x=0))
            session.add(Point(id=4, x=0))
            publish(session, "out-bytes", b"lost")
        session.add(Point(id=5, x=0))
        session.commit()

    service.do(work)

    assert service.shorts == [("1", 1, "INSERT"), ("5", 1, "INSERT")]


def test_suppress_events_ends_when_the_block_raises(service: Service) -> None:
    def work(session: Session) -> None:
        with pytest.raises(ZeroDivisionError), suppress_events(session):
            raise ZeroDivisionError
        session.add(Point(id=1, x=0))
        session.commit()

    service.do(work)

    assert service.shorts == [("1", 1, "INSERT")]
