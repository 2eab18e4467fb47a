"""The broker inside this process: a port of one's own, other processes, topics, and an end."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time

import pytest

from streambind.binders.kafka import EmbeddedBroker
from streambind.binders.kafka import binder as binder_module
from streambind.binders.kafka.embedded_wire import CREATE_TOPICS
from streambind.binders.kafka.features import CONSUMER_GROUP_HEARTBEAT
from streambind.errors import BrokerError, BrokerUnavailableError, LifecycleError
from streambind.testing.eventually import eventually
from tests.integration.kafka.bench import WITHIN_S, Effects, bound, input_target, kafka_binder, output, send

OTHER_PROCESS = """
import sys
from confluent_kafka import Consumer
consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "g", "auto.offset.reset": "earliest"})
consumer.subscribe(["t"])
message = consumer.poll(20)
print(message.value().decode())
consumer.close()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_it_answers_on_the_port_that_it_was_given_and_again_after_a_restart() -> None:
    port = free_port()
    broker = EmbeddedBroker(port)
    for payload in (b"1", b"2"):
        with broker:
            assert broker.address == f"127.0.0.1:{port}"
            binder = kafka_binder(broker.address)
            effects = Effects()
            with bound(binder, input_target("t", "g"), effects) as binding:
                send(output(binder, "t"), payload)
                effects.come(1, binding.partitions)
            assert effects.by_partition == {0: [payload]}
            binder.close(5000)


def test_a_group_that_begins_again_has_its_partitions_at_once_and_goes_on_where_it_was() -> None:
    # By itself the broker lets such a group wait for the session time-out, less a second.
    patient = {"session.timeout.ms": "300000", "heartbeat.interval.ms": "200"}
    with EmbeddedBroker() as broker:
        broker.create_topic("t", 2)
        effects = Effects()
        for payload in (b"1", b"2", b"3"):
            binder = kafka_binder(broker.address)
            with bound(binder, input_target("t", "g", configuration=patient), effects) as binding:
                eventually(lambda: len(binding.partitions()) == 2, WITHIN_S, "not assigned")
                send(output(binder, "t"), payload)
                effects.come(int(payload), binding.partitions)
            binder.close(5000)
        assert sorted(p or b"" for lane in effects.by_partition.values() for p in lane) == [b"1", b"2", b"3"]


def test_other_processes_can_use_it() -> None:
    with EmbeddedBroker() as broker:
        binder = kafka_binder(broker.address)
        send(output(binder, "t"), b"hello")
        other = subprocess.run(
            [sys.executable, "-c", OTHER_PROCESS, broker.address],
            capture_output=True,
            timeout=60,
            text=True,
            check=True,
        )
        assert other.stdout.strip() == "hello"
        binder.close(5000)


def test_topics_have_the_partitions_that_were_asked_for() -> None:
    with EmbeddedBroker(default_partitions=3) as broker:
        broker.create_topic("made", 5)
        broker.create_topic("made", 2)
        binder = kafka_binder(broker.address)
        output(binder, "bound", partitions=4)
        seen = {name: binder.describe(name, 5000) for name in ("made", "bound", "nobody's")}
        assert {name: info and info.partitions for name, info in seen.items()} == {
            "made": 5,
            "bound": 4,
            "nobody's": None,
        }
        assert (broker.partitions("made"), broker.partitions("bound")) == (5, 4)
        binder.close(5000)


def test_several_brokers_share_the_topics() -> None:
    with EmbeddedBroker(brokers=3) as broker:
        assert len(broker.address.split(",")) == 3
        broker.create_topic("t", 6)
        binder = kafka_binder(broker.address)
        effects = Effects()
        with bound(binder, input_target("t", "g"), effects) as binding:
            producer = output(binder, "t")
            for partition in range(6):
                send(producer, b"x", partition=partition)
            effects.come(6, binding.partitions)
        binder.close(5000)


def test_what_it_forgets_on_request_is_lost() -> None:
    with EmbeddedBroker() as broker:
        binder = kafka_binder(broker.address)
        send(output(binder, "t"), *(b"%d" % n for n in range(5)))
        broker.delete_records("t", 0, 3)
        info = binder.describe("t", 5000)
        assert info is not None
        assert (info.starts, info.ends) == ({0: 3}, {0: 5})
        binder.close(5000)


def test_nothing_answers_while_it_is_away() -> None:
    with EmbeddedBroker() as broker:
        binder = kafka_binder(broker.address)
        send(output(binder, "t"), b"1")
        broker.go_away()
        with pytest.raises(BrokerUnavailableError):
            binder.describe("t", 500)
        broker.come_back()
        eventually(lambda: binder.describe("t", 5000) is not None, WITHIN_S, "it does not come back")
        binder.close(5000)


class TestOldBrokers:
    """What a broker does not know is told by what it says, not by a time-out."""

    def test_one_that_cannot_create_topics_makes_them_when_they_are_asked_for(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(binder_module, "REQUEST_TIMEOUT_S", 60.0)
        caplog.set_level("INFO", "streambind.binders.kafka")
        with EmbeddedBroker(default_partitions=2) as broker:
            broker.withhold(CREATE_TOPICS)
            binder = kafka_binder(broker.address)
            began = time.monotonic()
            producer = output(binder, "t", partitions=3)
            assert time.monotonic() - began < 40
            assert "the broker cannot create topics on demand" in caplog.text
            assert broker.partitions("t") == 2
            send(producer, b"1")
            binder.close(5000)

    def test_one_that_does_not_know_the_newer_group_protocol_is_an_error(self) -> None:
        with EmbeddedBroker() as broker:
            broker.withhold(CONSUMER_GROUP_HEARTBEAT)
            binder = kafka_binder(broker.address)
            target = input_target("t", "g", groupProtocol="consumer")
            with pytest.raises(BrokerError, match="set it to classic") as raised:
                binder.bind_consumer(target, Effects())
            assert raised.value.permanent
            binder.close(5000)


def test_it_leaves_nothing_behind() -> None:
    before = set(threading.enumerate())
    with EmbeddedBroker(brokers=2) as broker:
        binder = kafka_binder(broker.address)
        effects = Effects()
        with bound(binder, input_target("t", "g", concurrency=2), effects) as binding:
            send(output(binder, "t"), b"1")
            effects.come(1, binding.partitions)
        binder.close(5000)
    eventually(
        lambda: set(threading.enumerate()) <= before, WITHIN_S, lambda: f"{set(threading.enumerate()) - before}"
    )


def test_a_port_that_is_taken_is_an_error() -> None:
    with EmbeddedBroker() as broker:
        port = int(broker.address.rpartition(":")[2])
        with pytest.raises(BrokerUnavailableError, match="embedded broker cannot start"):
            EmbeddedBroker(port).start()


def test_it_is_used_only_while_it_runs() -> None:
    broker = EmbeddedBroker()
    with pytest.raises(LifecycleError, match="start it first"):
        _ = broker.address
    with broker, pytest.raises(LifecycleError, match="runs already"):
        broker.start()
    broker.stop()
