"""The relay and a real broker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streambind.binders.kafka import KAFKA, KafkaBinder
from streambind.binding.binder import ProducerBinding, ProducerTarget
from streambind.binding.key_order import KeyOrder
from streambind.configuration.properties import ProducerProperties
from streambind.event_loop import EventLoop
from streambind.message import ORIGIN
from streambind.origin import Origin
from streambind.outbound.outbox_status import outbox_status
from streambind.outbound.relay_state import RelayStatus
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables
from tests.integration.kafka.bench import lower_limit, without_gapless
from tests.integration.relay.commits import backlog, commit, commit_keys, committed, event
from tests.integration.relay.conftest import StartRelay
from tests.integration.relay.wire import gaps, missing, overtaken
from tests.services import KafkaBroker
from tests.services.process import wait_for


class Output:
    """One output bound without a time limit, as the application binds it for the relay."""

    def __init__(self, brokers: str, destination: str) -> None:
        self.binder = KafkaBinder(KAFKA.binder_properties(brokers=brokers))  # type: ignore[call-arg, arg-type]
        self.destination = destination
        self.producer: ProducerBinding = self.binder.bind_producer(
            ProducerTarget(
                binding=f"out-{destination}",
                destination=destination,
                properties=ProducerProperties(partition_count=3),
                extended=KAFKA.producer_properties.model_validate({"configuration": {"batch.num.messages": "50"}}),
            )
        )

    def producers(self, destination: str) -> ProducerBinding | None:
        return self.producer if destination == self.destination else None

    def travelled(self) -> dict[bytes | None, list[int]]:
        """The numbers of each key, in the order of the log."""
        found: dict[bytes | None, list[int]] = {}
        info = self.binder.describe(self.destination, 10_000)
        assert info is not None
        starts = dict.fromkeys(range(info.partitions), 0)
        while messages := self.binder.read(self.destination, starts, 10_000):
            for message in messages:
                origin = Origin.parse(str(message.headers[ORIGIN]))
                assert origin is not None
                assert message.partition is not None
                assert message.offset is not None
                found.setdefault(message.key, []).append(origin.seq)
                starts[message.partition] = message.offset + 1
        return found


@pytest.fixture
def output(kafka: str, topic: str) -> Iterator[Output]:
    output = Output(kafka, topic)
    yield output
    output.binder.close(5000)


def test_everything_arrives_once_and_in_order(database: Database, start_relay: StartRelay, output: Output) -> None:
    commit_keys(database, range(30), rounds=10, destination=output.destination)
    relay = start_relay(database, output.producers)
    for _ in range(5):
        commit_keys(database, range(30), destination=output.destination)
        relay.wake()

    assert wait_for(lambda: backlog(database) == 0, 30)
    travelled = output.travelled()
    assert missing(travelled, committed(database, output.destination)) == []
    assert gaps(travelled) == overtaken(travelled) == []
    assert sum(map(len, travelled.values())) == 450


@pytest.fixture(params=["kept", "not kept"])
def order_is_kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Without the order of a key within a send, the same test must see a gap."""
    if request.param == "not kept":
        monkeypatch.setattr(KeyOrder, "holds_back", lambda order, key: False)
    return bool(request.param == "kept")


def test_a_row_that_is_refused_before_it_travels_holds_back_its_key(
    database: Database, start_relay: StartRelay, output: Output, order_is_kept: bool
) -> None:
    too_large = bytes((output.producer.max_payload_bytes() or 0) + 1)
    rows = [event(key, destination=output.destination) for key in (b"1", b"2")]
    refused = event(b"1", destination=output.destination, payload=too_large)
    commit(database, [*rows, refused, *rows])
    start_relay(database, output.producers)

    assert wait_for(lambda: bool(outbox_status(database).blocked), 30)
    assert (gaps(output.travelled()) == []) is order_is_kept
    if order_is_kept:
        assert output.travelled() == {b"1": [1], b"2": [1, 2]}
        assert backlog(database) == 2


ROUNDS = 10


@pytest.fixture(params=["gapless", "not gapless"])
def is_gapless(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With a client that goes on behind a refused batch, the same rounds must see disorder. Which batches
    travel together is chance, so there are several rounds."""
    if request.param == "not gapless":
        without_gapless(monkeypatch)
    return bool(request.param == "gapless")


def test_the_order_outlives_a_limit_that_is_lowered_under_a_running_output(
    tmp_path: Path, start_relay: StartRelay, kafka: str, topic: str, is_gapless: bool
) -> None:
    rounds = range(1 if is_gapless else ROUNDS)
    in_order = all(_in_order(kafka, f"{topic}-{n}", tmp_path / f"{n}.db", start_relay) for n in rounds)
    assert in_order is is_gapless


def _in_order(kafka: str, topic: str, file: Path, start_relay: StartRelay) -> bool:
    """Whether every key travels in its order up to a record that the lowered limit refuses."""
    output, loop = Output(kafka, topic), EventLoop()
    database = Database.from_url(f"sqlite:///{file}", loop=loop)
    create_tables(database)
    lower_limit(kafka, topic, 20_000)
    payloads = [bytes(1500) if n < 150 else b"{}" for n in range(1000)]
    commit(database, [event(b"%d" % (n % 3), destination=topic, payload=p) for n, p in enumerate(payloads)])
    commit(database, [event(b"1", destination=topic, payload=bytes(30_000))])
    commit_keys(database, range(3), destination=topic)
    relay = start_relay(database, output.producers, batch_size=1000)

    assert wait_for(lambda: backlog(database) == 2, 60)
    [blocked] = outbox_status(database).blocked
    assert (blocked.key, "MSG_SIZE_TOO_LARGE" in blocked.reason) == (b"1", True)
    travelled = output.travelled()
    relay.stop(2000)
    output.binder.close(5000)
    database.dispose()
    loop.close()
    return gaps(travelled) == overtaken(travelled) == []


def test_a_killed_broker_is_waited_for_without_loss_or_disorder(
    own_kafka: KafkaBroker, sqlite: Database, start_relay: StartRelay, topic: str
) -> None:
    output = Output(own_kafka.address, topic)
    commit_keys(sqlite, range(100), rounds=30, destination=topic)
    relay = start_relay(sqlite, output.producers, batch_size=50, lease_ms=1000)
    assert wait_for(lambda: backlog(sqlite) < 2500, 30)

    own_kafka.kill()
    commit_keys(sqlite, range(100), rounds=2, destination=topic)
    assert wait_for(lambda: relay.state.status is RelayStatus.DEGRADED, 30)
    assert "has not confirmed anything" in relay.state.destinations[topic]
    assert len(relay.state.shards) == 16
    own_kafka.restart()

    assert wait_for(lambda: backlog(sqlite) == 0, 90)
    assert wait_for(lambda: relay.state.status is RelayStatus.RUNNING, 10)
    travelled = output.travelled()
    assert missing(travelled, committed(sqlite, topic)) == []
    assert gaps(travelled) == overtaken(travelled) == []
    relay.stop(5000)
    output.binder.close(5000)


def test_stop_returns_in_time_with_the_broker_dead(
    own_kafka: KafkaBroker, sqlite: Database, start_relay: StartRelay, topic: str
) -> None:
    output = Output(own_kafka.address, topic)
    relay = start_relay(sqlite, output.producers)
    commit_keys(sqlite, range(5), destination=topic)
    relay.wake()
    assert wait_for(lambda: backlog(sqlite) == 0, 30)
    own_kafka.kill()
    commit_keys(sqlite, range(5), destination=topic)
    relay.wake()

    began = time.monotonic()
    relay.stop(2000)

    assert time.monotonic() - began < 20
    assert backlog(sqlite) == 5
    output.binder.close(2000)
    own_kafka.restart()
