"""What a real broker refuses, and where it puts keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streambind.binders.kafka import KAFKA, KafkaBinder
from streambind.binding.binder import ProducerTarget
from streambind.binding.key_order import HELD_BACK
from streambind.binding.outcome import Failed, Sent
from streambind.configuration.properties import ProducerProperties
from streambind.message import Message
from tests.integration.kafka.bench import create_topic, lower_limit, output, without_gapless

PARTITIONS_OF_4 = Path(__file__).parents[2] / "data" / "spring" / "key-partitions-of-4.json"


def test_keys_go_where_spring_sends_them(kafka: str, binder: KafkaBinder, topic: str) -> None:
    create_topic(kafka, topic, 4)
    seen = json.loads(PARTITIONS_OF_4.read_text())
    results = output(binder, topic).send([Message(b"x", key.encode()) for key in seen])
    partitions = [result.partition for result in results if isinstance(result, Sent)]
    assert partitions == [by["legacy"] for by in seen.values()] == [by["modern"] for by in seen.values()]


def test_the_limit_is_read_from_the_topic(kafka: str, binder: KafkaBinder, topic: str) -> None:
    create_topic(kafka, topic, 1, **{"max.message.bytes": "20000"})
    limit = output(binder, topic).max_payload_bytes()
    assert limit == 20_000 - 2 * 512


def test_a_limit_of_ones_own_is_kept(kafka: str, binder: KafkaBinder, topic: str) -> None:
    create_topic(kafka, topic)
    producer = output(binder, topic, configuration={"max.request.size": 50_000})
    assert producer.max_payload_bytes() == 50_000 - 512
    (result,) = producer.send([Message(bytes(50_000))])
    assert isinstance(result, Failed)


@pytest.mark.parametrize("timeout_ms", [None, 10_000])
def test_neighbours_of_a_message_that_the_broker_refuses_are_sent(
    kafka: str, binder: KafkaBinder, topic: str, timeout_ms: int | None
) -> None:
    """The topic's limit was lowered after the output was bound, so that only the broker knows it: it refuses
    whole batches."""
    create_topic(kafka, topic)
    producer = output(binder, topic, timeout_ms=timeout_ms, batchTimeout="50ms")
    lower_limit(kafka, topic, 20_000)
    small = [Message(b"%d" % n, b"%d" % (n % 5)) for n in range(50)]
    results = producer.send([*small[:25], Message(bytes(30_000), b"0"), *small[25:]])
    refused = results.pop(25)
    assert isinstance(refused, Failed)
    assert refused.permanent
    assert [n for n, result in enumerate(results) if result == HELD_BACK] == [25, 30, 35, 40, 45]
    sent = [m.payload for n, m in enumerate(small) if isinstance(results[n], Sent)]
    assert len(sent) == 45
    assert [m.payload for m in binder.read(topic, {0: 0}, 5000)] == sent
    assert producer.max_payload_bytes() == 20_000 - 2 * 512
    assert [type(result) for result in producer.send(small[25:])] == [Sent] * 25


def test_a_fenced_output_holds_back_what_follows_a_message_that_the_broker_refuses(
    kafka: str, binder: KafkaBinder, topic: str
) -> None:
    create_topic(kafka, topic)
    target = ProducerTarget(
        binding="out-x",
        destination=topic,
        properties=ProducerProperties(),
        extended=KAFKA.producer_properties(),
        fence=topic,
    )
    producer = binder.bind_producer(target)
    lower_limit(kafka, topic, 20_000)
    batch = [Message(b"1", b"k"), Message(bytes(30_000), b"k"), Message(b"2", b"k"), Message(b"3", b"other")]
    first, refused, held, other = producer.send(batch)
    assert isinstance(refused, Failed)
    assert refused.permanent
    assert held == HELD_BACK
    assert isinstance(first, Sent)
    assert isinstance(other, Sent)
    read = binder.read(topic, {0: 0}, 5000)
    assert [m.payload for m in read if m.offset in (first.offset, other.offset)] == [b"1", b"3"]
    assert b"2" not in [m.payload for m in read if m.offset is not None and m.offset >= first.offset]


def test_without_a_time_limit_nothing_of_a_key_overtakes_a_refused_batch(
    kafka: str, binder: KafkaBinder, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sent_and_read(topic: str) -> tuple[list[bytes | None], list[bytes | None]]:
        create_topic(kafka, topic)
        producer = output(binder, topic, timeout_ms=None, configuration={"batch.num.messages": "50"})
        lower_limit(kafka, topic, 20_000)
        rows = [Message(b"%d" % n, b"k", raw_headers=[("x", bytes(1500 if n < 100 else 10))]) for n in range(1000)]
        results = producer.send(rows)
        sent = [m.payload for m, result in zip(rows, results, strict=True) if isinstance(result, Sent)]
        return sent, [m.payload for m in binder.read(topic, {0: 0}, 5000)]

    sent, read = sent_and_read(topic)
    assert sent == read == [b"%d" % n for n in range(len(read))]

    without_gapless(monkeypatch)
    _, read = sent_and_read(f"{topic}-mutant")
    assert read != [b"%d" % n for n in range(len(read))]


def test_many_small_messages_whose_batch_would_be_too_large_are_sent(
    kafka: str, binder: KafkaBinder, topic: str
) -> None:
    create_topic(kafka, topic, 1, **{"max.message.bytes": "20000"})
    producer = output(binder, topic, batchTimeout="50ms")
    results = producer.send([Message(bytes(100), b"k") for _ in range(500)])
    assert [type(result) for result in results] == [Sent] * 500


def test_a_message_that_cannot_travel_fails_alone(kafka: str, binder: KafkaBinder, topic: str) -> None:
    create_topic(kafka, topic)
    unfit: list[Any] = [[("\ud800", b"x")], [("a\0b", b"x")], [(1, b"x")], [("a", 1)]]
    messages = [Message(b"x", b"%d" % n, raw_headers=headers) for n, headers in enumerate(unfit)]
    first, *refused, last = output(binder, topic).send([Message(b"1"), *messages, Message(b"2")])
    assert isinstance(first, Sent)
    assert isinstance(last, Sent)
    assert all(isinstance(result, Failed) and result.permanent for result in refused)
    assert [m.payload for m in binder.read(topic, {0: 0}, 5000)] == [b"1", b"2"]
