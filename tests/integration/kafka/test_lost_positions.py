"""Positions that mean nothing any more, and positions that somebody moved: named, and mended without a restart."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from streambind.binders.kafka import KafkaBinder, inquiries
from streambind.binders.kafka.admin import KafkaAdmin, Topic
from streambind.binders.kafka.consumer import KafkaConsumerBinding
from streambind.binding.binder import Identity, Lane
from streambind.testing.eventually import eventually
from tests.integration.kafka.bench import (
    WITHIN_S,
    Effects,
    FencingStore,
    assigned,
    bound,
    create_topic,
    input_target,
    output,
    send,
)

PROTOCOLS = pytest.mark.parametrize("protocol", ["classic", "consumer"])


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inquiries, "COMPARE_INTERVAL_S", 0.5)


def make_anew(brokers: str, topic: str) -> None:
    delete_topic(brokers, topic)
    create_topic(brokers, topic)


def delete_topic(brokers: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": brokers})
    admin.delete_topics([topic])[topic].result(WITHIN_S)
    eventually(lambda: topic not in admin.list_topics(timeout=5).topics, WITHIN_S, f"{topic} does not go away")


@pytest.mark.parametrize("destinations", [1, 2], ids=["one-topic", "and-another"])
def test_a_member_without_partitions_notices_that_its_topic_is_back(
    kafka: str, binder: KafkaBinder, topic: str, destinations: int
) -> None:
    """The client says that the topic is gone. When it is back, only who gets a partition hears of it."""
    others = [f"{topic}-{number}" for number in range(1, destinations)]
    for name in (topic, *others):
        create_topic(kafka, name)
    target = input_target(topic, topic, configuration={"topic.metadata.refresh.interval.ms": "300"})
    target = replace(target, destinations=(topic, *others))
    with bound(binder, target, Effects()) as one, bound(binder, target, Effects()) as other:
        eventually(lambda: assigned(one) or assigned(other), WITHIN_S, "nobody has the partition")
        delete_topic(kafka, topic)
        for member in (one, other):
            eventually(lambda: _misses_topic(member), WITHIN_S, "the topic is not missed")  # noqa: B023
        create_topic(kafka, topic)
        for member in (one, other):
            eventually(lambda: not _misses_topic(member), WITHIN_S, lambda: f"{member.last_error()}")  # noqa: B023


def _misses_topic(member: KafkaConsumerBinding) -> bool:
    return "UNKNOWN_TOPIC_OR_PART" in (member.last_error() or "")


def delete_records(brokers: str, topic: str, before: int) -> None:
    admin = AdminClient({"bootstrap.servers": brokers})
    for deleted in admin.delete_records([TopicPartition(topic, 0, before)]).values():
        deleted.result(WITHIN_S)


def stalled(binding: KafkaConsumerBinding, *texts: str) -> None:
    """Wait until a partition has stopped, saying all of these."""
    eventually(
        lambda: any(all(text in (s.stalled or "") for text in texts) for s in binding.partitions()),
        WITHIN_S,
        lambda: f"{binding.partitions()}",
    )


def identity(binder: KafkaBinder, topic: str) -> Identity:
    info = binder.describe(topic, 5000)
    assert info is not None
    return info.identity


def test_the_broker_tells_which_cluster_and_which_topic(kafka: str, binder: KafkaBinder, topic: str) -> None:
    create_topic(kafka, topic)
    create_topic(kafka, f"{topic}-2")
    first, second = identity(binder, topic), identity(binder, f"{topic}-2")
    assert first.cluster is not None
    assert first.cluster == second.cluster
    assert None not in (first.destination, second.destination)
    assert first.destination != second.destination
    make_anew(kafka, topic)
    assert not identity(binder, topic).may_be(first)


class TestMadeAnew:
    """A topic deleted and made again within a metadata refresh: the group hears nothing of it."""

    @PROTOCOLS
    def test_positions_in_a_database_stop_visibly(
        self, kafka: str, binder: KafkaBinder, topic: str, protocol: str
    ) -> None:
        create_topic(kafka, topic)
        store = FencingStore()
        with bound(binder, input_target(topic, topic, positions=store, groupProtocol=protocol), store) as binding:
            send(output(binder, topic), b"1", b"2")
            store.come(2, binding.partitions)
            make_anew(kafka, topic)
            send(output(binder, topic), b"new 1", b"new 2", b"new 3")
            stalled(binding, "DestinationReplacedError", "made anew", "streambind positions reset TARGET in-x")
            assert "made anew" in (binding.last_error() or "")
        assert store.by_partition == {0: [b"1", b"2"]}
        assert store.stored == {Lane(topic, 0): 2}

    def test_they_go_on_once_they_are_reset(self, kafka: str, binder: KafkaBinder, topic: str) -> None:
        create_topic(kafka, topic)
        store = FencingStore()
        with bound(binder, input_target(topic, topic, positions=store), store) as binding:
            send(output(binder, topic), b"1", b"2")
            store.come(2, binding.partitions)
            make_anew(kafka, topic)
            send(output(binder, topic), b"new 1", b"new 2", b"new 3")
            stalled(binding, "DestinationReplacedError")
            store.reset(Lane(topic, 0), 0, identity(binder, topic))
            store.come(5, binding.partitions)
            eventually(lambda: not any(s.stalled for s in binding.partitions()), WITHIN_S, "it is still stalled")
            send(output(binder, topic), b"new 4")
            store.come(6, binding.partitions)
        assert store.by_partition == {0: [b"1", b"2", b"new 1", b"new 2", b"new 3", b"new 4"]}

    @PROTOCOLS
    def test_one_that_was_lost_when_it_was_assigned_goes_on_too(
        self, kafka: str, binder: KafkaBinder, topic: str, protocol: str
    ) -> None:
        create_topic(kafka, topic)
        send(output(binder, topic), b"0", b"1", b"2")
        lane, now = Lane(topic, 0), identity(binder, topic)
        store = FencingStore({lane: 2})
        store.identities[lane] = replace(now, cluster="another")
        with bound(binder, input_target(topic, topic, positions=store, groupProtocol=protocol), store) as binding:
            stalled(binding, "DestinationReplacedError", f"cluster {now.cluster}", "If the address is wrong")
            store.reset(lane, 1, now)
            store.come(2, binding.partitions)
            send(output(binder, topic), b"3")
            store.come(3, binding.partitions)
        assert store.offsets == {0: [1, 2, 3]}

    @PROTOCOLS
    def test_positions_at_the_broker_begin_anew(
        self, kafka: str, binder: KafkaBinder, topic: str, protocol: str
    ) -> None:
        create_topic(kafka, topic)
        effects = Effects()
        with bound(binder, input_target(topic, topic, groupProtocol=protocol), effects) as binding:
            send(output(binder, topic), b"1", b"2")
            effects.come(2, binding.partitions)
            make_anew(kafka, topic)
            send(output(binder, topic), b"new 1", b"new 2", b"new 3")
            eventually(
                lambda: {b"new 1", b"new 2", b"new 3"} <= set(effects.by_partition[0]),
                WITHIN_S,
                lambda: f"{effects.by_partition}, {binding.partitions()}",
            )

    @pytest.mark.parametrize("stored", [True, False])
    def test_nobody_waits_for_a_rebalance_to_notice(
        self,
        kafka: str,
        binder: KafkaBinder,
        topic: str,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        stored: bool,
    ) -> None:
        """The broker tells another topic, and that is all that happens: nothing is assigned anew."""
        caplog.set_level(logging.INFO, "streambind.binders.kafka")
        create_topic(kafka, topic)
        store = FencingStore()
        positions, effects = (store, store) if stored else (None, Effects())
        with bound(binder, input_target(topic, topic, positions=positions), effects) as binding:
            send(output(binder, topic), b"1", b"2")
            effects.come(2, binding.partitions)
            _tell_another(monkeypatch)
            if stored:
                stalled(binding, "DestinationReplacedError", "made anew")
            else:
                effects.come(4, binding.partitions)
            changes = [
                r.getMessage() for r in caplog.records if "assigned" in r.msg or "gave back" in r.getMessage()
            ]
            assert changes == [f"binding in-x: assigned {topic}[0]"]
        assert effects.by_partition == {0: [b"1", b"2"] if stored else [b"1", b"2", b"1", b"2"]}


def _tell_another(monkeypatch: pytest.MonkeyPatch) -> None:
    told = KafkaAdmin.topic

    def another(admin: KafkaAdmin, name: str, timeout_s: float) -> Topic | None:
        found = told(admin, name, timeout_s)
        return None if found is None else replace(found, id="another")

    monkeypatch.setattr(KafkaAdmin, "topic", another)


def test_a_broker_that_tells_no_identity_is_named_once(
    kafka: str, binder: KafkaBinder, topic: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    create_topic(kafka, topic, 2)
    told = KafkaAdmin.topic

    def untold(admin: KafkaAdmin, name: str, timeout_s: float) -> Topic | None:
        found = told(admin, name, timeout_s)
        return None if found is None else replace(found, id=None)

    monkeypatch.setattr(KafkaAdmin, "topic", untold)
    store = FencingStore({Lane(topic, 0): 0})
    for _ in range(2):
        with bound(binder, input_target(topic, topic, positions=store), store) as binding:
            eventually(lambda: assigned(binding) == {0, 1}, WITHIN_S, lambda: f"{binding.partitions()}")
    assert caplog.text.count(f"the broker does not tell which topic {topic} is") == 2  # once per binding


class TestOutsideTheLog:
    def test_it_says_how_much_retention_took_and_goes_on_once_reset(
        self, kafka: str, binder: KafkaBinder, topic: str
    ) -> None:
        create_topic(kafka, topic)
        send(output(binder, topic), *(b"%d" % n for n in range(10)))
        delete_records(kafka, topic, 7)
        store = FencingStore({Lane(topic, 0): 2})
        with bound(binder, input_target(topic, topic, positions=store), store) as binding:
            stalled(binding, "PositionLostError", "the log begins at 7: 5 messages were lost to retention")
            store.reset(Lane(topic, 0), 7, identity(binder, topic))
            store.come(3, binding.partitions)
        assert store.offsets == {0: [7, 8, 9]}

    def test_a_position_above_the_end(self, kafka: str, binder: KafkaBinder, topic: str) -> None:
        create_topic(kafka, topic)
        send(output(binder, topic), b"0", b"1")
        store = FencingStore({Lane(topic, 0): 40})
        with bound(binder, input_target(topic, topic, positions=store), store) as binding:
            stalled(binding, "PositionLostError", "the log ends at 2: 38 messages were cut off")
        assert store.offsets == {}


class TestMovedFromOutside:
    def test_an_idle_partition_notices(self, kafka: str, binder: KafkaBinder, topic: str) -> None:
        create_topic(kafka, topic)
        store = FencingStore()
        with bound(binder, input_target(topic, topic, positions=store), store) as binding:
            send(output(binder, topic), b"0", b"1", b"2")
            store.come(3, binding.partitions)
            store.reset(Lane(topic, 0), 1, identity(binder, topic))
            store.come(5, binding.partitions)
        assert store.offsets == {0: [0, 1, 2, 1, 2]}
        assert store.fenced == 0

    def test_the_next_delivery_notices(
        self, kafka: str, binder: KafkaBinder, topic: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(inquiries, "COMPARE_INTERVAL_S", 600.0)
        create_topic(kafka, topic)
        store = FencingStore()
        with bound(binder, input_target(topic, topic, positions=store), store) as binding:
            eventually(lambda: assigned(binding) == {0}, WITHIN_S, lambda: f"{binding.partitions()}")
            send(output(binder, topic), b"0", b"1", b"2")
            store.come(3, binding.partitions)
            store.reset(Lane(topic, 0), 1, identity(binder, topic))
            send(output(binder, topic), b"3")
            store.come(6, binding.partitions)
        assert store.offsets == {0: [0, 1, 2, 1, 2, 3]}
        assert store.fenced == 1
