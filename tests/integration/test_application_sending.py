"""What leaves an application: after commits, through the bridge, and as replies of listeners."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from sqlalchemy.orm import Session

from streambind import Message, publish, send_to, stream_listener
from streambind.binders.memory import MemoryBroker
from streambind.binding.binder import Lane
from streambind.binding.outcome import Failed
from streambind.errors import ConfigurationError, EncodeError, LifecycleError, SendError
from streambind.testing.applications import Applications
from streambind.testing.eventually import eventually
from streambind.testing.streams import Streams
from tests.integration.application_code import AFTER_COMMIT, CONFIGURATION, Added, Base, Copy, Thing

WITHIN_S = 10.0


def test_events_leave_after_the_commit_when_configured_so(
    streams: Streams, stream_application: Applications
) -> None:
    application = stream_application(AFTER_COMMIT, include=[Thing], metadata=Base.metadata)
    with streams.run(application):
        with application.sessions() as session:
            session.add(Thing(id=1))
            session.flush()
            with session.begin_nested():
                session.add(Thing(id=2))
            with contextlib.suppress(ZeroDivisionError), session.begin_nested():
                session.add(Thing(id=3))
                session.flush()
                raise ZeroDivisionError
            assert not any(application.unsent().values())
            assert streams.records("out-a") == [], "not before the commit, released savepoints or not"
            session.commit()
        with application.sessions() as session:
            session.add(Thing(id=4))
            session.flush()
            session.rollback()
        streams.settle()
    assert [event.id for event in streams.published("out-a", Added)] == [1, 2]


def test_what_fails_after_the_commit_goes_to_the_application_and_never_to_the_caller(
    stream_application: Applications,
) -> None:
    failed: list[tuple[Message, Exception]] = []
    configuration = AFTER_COMMIT.replace(
        "kafka.binder.brokers: nowhere:9092", "default-binder: memory\n  memory.binder.name: refusing"
    )
    application = stream_application(
        configuration,
        include=[Thing],
        metadata=Base.metadata,
        on_publish_error=lambda message, error: failed.append((message, error)),
    )
    with MemoryBroker.fresh("refusing") as broker, application:
        broker.fail_sends(Failed(SendError("refused"), permanent=True), times=1)
        for number in (1, 2):
            with application.sessions.begin() as session:
                session.add(Thing(id=number))
        eventually(lambda: failed and not any(application.unsent().values()), WITHIN_S, "nobody was told")
        with application.sessions() as session:
            assert session.query(Thing).count() == 2, "the commits stand"
        assert [record.key for record in broker.fetch(Lane("a", 0), 0, 10)] == [b"2"]
    [(message, error)] = failed
    assert message.key == b"1"
    assert isinstance(error, SendError)
    assert "refused" in str(error)


def test_what_is_committed_after_the_stop_goes_to_the_application_message_by_message(
    streams: Streams, stream_application: Applications, caplog: pytest.LogCaptureFixture
) -> None:
    failed: list[tuple[Message, Exception]] = []

    def tell(message: Message, error: Exception) -> None:
        failed.append((message, error))
        raise ZeroDivisionError

    application = stream_application(AFTER_COMMIT, include=[Thing], metadata=Base.metadata, on_publish_error=tell)
    with streams.run(application):
        pass
    with application.sessions.begin() as session:
        session.add_all([Thing(id=1), Thing(id=2)])
    assert [message.key for message, _ in failed] == [b"1", b"2"]
    assert all(isinstance(error, SendError) and "does not run" in str(error) for _, error in failed)
    assert "does not run" in caplog.text


def test_what_is_committed_while_it_stops_goes_to_the_application_message_by_message(
    streams: Streams, stream_application: Applications
) -> None:
    failed: list[tuple[Message, Exception]] = []
    application = stream_application(
        AFTER_COMMIT,
        include=[Thing],
        metadata=Base.metadata,
        on_publish_error=lambda message, error: failed.append((message, error)),
    )
    with streams.run(application):
        assert application._running is not None
        application._running.outputs.stop(1000)
        with application.sessions.begin() as session:
            session.add_all([Thing(id=1), Thing(id=2)])
        assert [message.key for message, _ in failed] == [b"1", b"2"]
    assert all(isinstance(error, SendError) and "has been stopped" in str(error) for _, error in failed)


def test_receipts_of_the_bridge_tell_where_a_message_went(
    streams: Streams, stream_application: Applications
) -> None:
    application = stream_application(CONFIGURATION, include=[])

    async def main() -> tuple[int, int]:
        receipts = [application.bridge.send("out-b", {"n": n}, key="k") for n in range(3)]
        last = await receipts[2]
        return (await receipts[0]).offset, last.offset

    with streams.run(application):
        receipt = application.bridge.send("out-b", "first", key=1, headers={"tenant": "t"})
        confirmation = receipt.result(timeout=WITHIN_S)
        assert (confirmation.destination, confirmation.partition, confirmation.offset) == ("b", 0, 0)
        assert receipt.done()
        assert asyncio.run(main()) == (1, 3)
    first, *others = streams.records("out-b")
    assert (first.key, first.payload, first.headers["tenant"]) == (b"1", b"first", "t")
    assert [record.payload for record in others] == [b'{"n":0}', b'{"n":1}', b'{"n":2}']


def test_the_bridge_refuses_at_once_what_cannot_be_sent(
    streams: Streams, stream_application: Applications
) -> None:
    application = stream_application(CONFIGURATION, include=[])
    with pytest.raises(LifecycleError, match="does not run"):
        application.bridge.send("out-b", "x")
    with streams.run(application):
        with pytest.raises(ConfigurationError, match="did you mean 'out-b'"):
            application.bridge.send("out-bb", "x")
        with pytest.raises(EncodeError, match="no JSON form"):
            application.bridge.send("out-b", object())


@pytest.mark.parametrize("streambind_broker", ["memory", "embedded"])
def test_replies_with_a_session_are_sent_with_the_effects(
    streams: Streams, stream_application: Applications
) -> None:
    tries: list[int] = []

    @stream_listener("in-a")
    @send_to("out-b")
    def keep_and_tell(event: Added, session: Session) -> Added:
        session.merge(Copy(id=event.id))
        publish(session, "out-c", {"seen": event.id}, key=event.id)
        tries.append(event.id)
        if len(tries) == 1:
            raise ValueError("the first try fails when all has been written")
        return event

    configuration = f"{CONFIGURATION}    out-c: {{destination: c}}\n"
    configuration = configuration.replace("group: g", "group: g, consumer: {backOffInitialInterval: 1}")
    application = stream_application(configuration, include=[Thing, keep_and_tell], metadata=Base.metadata)
    with streams.run(application):
        with application.sessions.begin() as session:
            session.add(Thing(id=5))
        streams.settle()
    assert tries == [5, 5]
    [reply] = streams.records("out-b")
    assert reply.key == b"5", "the key of the message is inherited"
    assert str(reply.headers["sb-origin"]).endswith("/b/1")
    assert [record.payload for record in streams.records("out-c")] == [b'{"seen":5}']


def test_replies_without_a_session_are_confirmed_before_the_message_is_done(
    streams: Streams, stream_application: Applications
) -> None:
    @stream_listener("in-a")
    @send_to("out-b")
    def tell(event: Added) -> list[Added]:
        return [event, event]

    application = stream_application(CONFIGURATION, include=[Thing, tell], metadata=Base.metadata)
    with streams.run(application):
        with application.sessions.begin() as session:
            session.add_all([Thing(id=1), Thing(id=2)])
        streams.settle()
    assert [event.id for event in streams.published("out-b", Added)] == [1, 1, 2, 2]
