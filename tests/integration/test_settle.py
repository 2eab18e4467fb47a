"""What `streams.settle` names when something lags, and that it does not wait where waiting is pointless."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from streambind import send_to, stream_listener
from streambind.testing.applications import Applications
from streambind.testing.streams import Streams
from tests.integration.streams_code import BINDINGS, Added, Base, Thing, keep, refuse


@pytest.fixture(params=["memory", "embedded", "kafka"])
def streambind_broker(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("kafka") if request.param == "kafka" else request.param)


on_memory = pytest.mark.parametrize("streambind_broker", ["memory"])


def test_settle_names_the_reason_when_a_partition_has_stopped(
    streams: Streams, stream_application: Applications
) -> None:
    application = stream_application(BINDINGS, include=[refuse, Thing], metadata=Base.metadata)
    with streams.run(application), application.sessions.begin() as session:
        session.add(Thing(id=5))
        session.commit()
        expected = r"(?s)will not settle.*in-a: a\[\d\] is at 0, its end is 1; stalled: .*ValueError.*no 5"
        with pytest.raises(AssertionError, match=expected):
            streams.settle()


@on_memory
def test_settle_names_binding_and_position_when_an_input_is_paused(
    streams: Streams, stream_application: Applications
) -> None:
    application = stream_application(BINDINGS, include=[keep], metadata=Base.metadata)
    with streams.run(application):
        streams.settle()
        binding: Any = application.binding("in-b")
        binding.pause()
        application.bridge.send("out-b", {"jobType": "INSERT", "id": 1}).result()
        with pytest.raises(AssertionError, match=r"in-b \(paused\): b\[0\] is at 0, its end is 1"):
            streams.settle(within_s=0.1)
        binding.resume()
        streams.settle()


@on_memory
def test_settle_names_the_outbox_when_nobody_relays(streams: Streams, stream_application: Applications) -> None:
    configuration = f"{BINDINGS}streambind.outbox.relay: false\n"
    application = stream_application(configuration, include=[Thing], metadata=Base.metadata)
    with streams.run(application):
        with application.sessions.begin() as session:
            session.add_all([Thing(id=1), Thing(id=2)])
        expected = r"outbox of sqlite.*: 2 messages wait \(none of the applications has a relay\)"
        with pytest.raises(AssertionError, match=expected):
            streams.settle(within_s=0.1)


@on_memory
def test_settle_names_a_parked_key_although_its_partition_goes_on(
    streams: Streams, stream_application: Applications
) -> None:
    @stream_listener("in-a")
    def refuses(event: Added, session: Session) -> None:
        raise ValueError(f"no {event.id}")

    application = stream_application(BINDINGS, include=[refuses, Thing], metadata=Base.metadata)
    with streams.run(application), application.sessions.begin() as session:
        session.add(Thing(id=5))
        session.commit()
        expected = r"group g: key b'5' of a is parked \(retry\), 1 message waits: ValueError: no 5"
        with pytest.raises(AssertionError, match=expected):
            streams.settle(within_s=3)


@on_memory
def test_settle_gives_up_when_messages_go_in_a_circle(streams: Streams, stream_application: Applications) -> None:
    @stream_listener("in-a")
    @send_to("out-a")
    def again(event: Added) -> Added:
        return event

    application = stream_application(f"{BINDINGS}streambind.events.max-rounds: 1000000\n", include=[again])
    with streams.run(application):
        application.bridge.send("out-a", {"jobType": "INSERT", "id": 1}).result()
        expected = (
            r"not settled within 0\.3 s:\n"
            r"  still moving: \d+ messages since it began to wait; do listeners send in a circle\?$"
        )
        with pytest.raises(AssertionError, match=expected):
            streams.settle(within_s=0.3)
