"""Members come and go while messages flow: nothing is skipped, nothing is done twice, order is kept."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager

import pytest

from streambind.binders.kafka import KafkaBinder
from streambind.binders.kafka.consumer import KafkaConsumerBinding
from streambind.binding.outcome import Outcome, Sent
from streambind.message import Batch, Message
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

PARTITIONS = 8


class Stream:
    """Numbered messages to all partitions until it is ended."""

    def __init__(self, binder: KafkaBinder, topic: str) -> None:
        self._output = output(binder, topic)
        self._end = threading.Event()
        self.sent = dict.fromkeys(range(PARTITIONS), 0)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> int:
        self._end.set()
        self._thread.join()
        return sum(self.sent.values())

    def _run(self) -> None:
        while not self._end.wait(0.01):
            batch = [Message(b"%d" % (self.sent[p] + n), partition=p) for p in self.sent for n in range(5)]
            for result in self._output.send(batch):
                assert isinstance(result, Sent)
                self.sent[result.partition] += 1


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
@pytest.mark.parametrize("effects", [FencingStore(), Effects()], ids=["database", "broker"])
def test_members_that_come_and_go_skip_and_repeat_nothing(
    kafka: str, binder: KafkaBinder, topic: str, protocol: str, effects: Effects
) -> None:
    create_topic(kafka, topic, PARTITIONS)
    effects = type(effects)()
    positions = effects if isinstance(effects, FencingStore) else None

    def member(name: str) -> AbstractContextManager[KafkaConsumerBinding]:
        target = input_target(
            topic, topic, concurrency=2, positions=positions, binding=name, groupProtocol=protocol
        )
        return bound(binder, target, effects)

    stream = Stream(binder, topic)
    with member("first") as first:
        effects.come(500)
        for number in range(4):
            with member(f"guest-{number}") as guest:
                _has_partitions(guest)
                if number % 2:
                    with member(f"short-{number}"):
                        effects.come(effects.count() + 200)
                effects.come(effects.count() + 200)
        total = stream.end()
        effects.come(total, first.partitions)
    for partition in range(PARTITIONS):
        numbers = [int(payload or b"") for payload in effects.by_partition[partition]]
        assert numbers == list(range(stream.sent[partition])), f"partition {partition}"
        assert effects.offsets[partition] == numbers


def test_a_new_member_starts_where_the_other_ended(kafka: str, binder: KafkaBinder, topic: str) -> None:
    create_topic(kafka, topic, 2)
    producer = output(binder, topic)
    one, two = Effects(), Effects()
    for partition in range(2):
        send(producer, *(b"%d" % n for n in range(100)), partition=partition)
    with bound(binder, input_target(topic, topic), one) as first:
        one.come(200, first.partitions)
        with bound(binder, input_target(topic, topic, binding="in-y"), two) as second:
            eventually(lambda: len(assigned(second)) == 1, WITHIN_S, lambda: f"{second.partitions()}")
            eventually(lambda: len(assigned(first)) == 1, WITHIN_S, lambda: f"{first.partitions()}")
            for partition in range(2):
                send(producer, b"new", partition=partition)
            eventually(lambda: one.count() + two.count() == 202, WITHIN_S, "the new messages did not come")
    assert two.count() == 1


def test_a_running_delivery_is_waited_for_when_its_partition_moves(
    kafka: str, binder: KafkaBinder, topic: str
) -> None:
    create_topic(kafka, topic, 2)
    producer = output(binder, topic)
    done, later = Effects(), Effects()
    gate = threading.Event()
    running: set[int] = set()

    def slow(batch: Batch) -> Outcome:
        running.add(batch.partition)
        assert gate.wait(WITHIN_S)
        return done(batch)

    with bound(binder, input_target(topic, topic, concurrency=2), slow) as first:
        for partition in range(2):
            send(producer, b"slow", partition=partition)
        eventually(lambda: len(running) == 2, WITHIN_S, lambda: f"running: {running}")
        with bound(binder, input_target(topic, topic, binding="in-y"), later) as second:
            eventually(lambda: len(first.partitions()) == 1, WITHIN_S, lambda: f"{first.partitions()}")
            assert assigned(second) == set()
            gate.set()
            _has_partitions(second)
            done.come(2)
            for partition in range(2):
                send(producer, b"next", partition=partition)
            eventually(lambda: done.count() + later.count() == 4, WITHIN_S, "not everything came")
    assert [*later.by_partition.values()] == [[b"next"]]


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_members_that_leave_in_mid_rebalance_do_not_block_the_group(
    kafka: str, binder: KafkaBinder, topic: str, protocol: str
) -> None:
    """A classic client that closes then, without having left, blocks its group for a session's length (10 s)."""
    create_topic(kafka, topic, PARTITIONS)
    effects = Effects()
    producer = output(binder, topic)
    with bound(binder, input_target(topic, topic, groupProtocol=protocol), effects) as stays:
        _has_partitions(stays)
        for number in range(6):
            guest = binder.bind_consumer(
                input_target(topic, topic, binding=f"guest-{number}", groupProtocol=protocol), effects
            )
            if number % 2:
                eventually(lambda: len(assigned(stays)) < PARTITIONS, WITHIN_S, "no rebalance begins")
            guest.unbind(10_000)
        eventually(lambda: len(assigned(stays)) == PARTITIONS, 8, lambda: f"{stays.partitions()}")
        for partition in range(PARTITIONS):
            send(producer, b"x", partition=partition)
        effects.come(PARTITIONS, stays.partitions)


def _has_partitions(member: KafkaConsumerBinding) -> None:
    eventually(lambda: assigned(member), WITHIN_S, lambda: f"{member.partitions()}, {member.last_error()}")
