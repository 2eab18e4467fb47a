"""Batches that wait are read ahead, and delivered as they were read, whatever becomes of the ones before."""

from __future__ import annotations

import threading
from dataclasses import replace

from streambind.binders.kafka import KafkaBinder
from streambind.binding.outcome import Outcome, RetryAfter, Seek
from streambind.message import Batch
from streambind.read_ahead import found_ahead
from streambind.testing.binder_suite.input import PayloadReader
from streambind.testing.eventually import eventually
from tests.integration.kafka.bench import WITHIN_S, bound, create_topic, input_target, output, send

EACH = 300
LIMIT = 10


class Listener:
    """Does now all of a batch, now a part of it, now nothing, and goes back once."""

    def __init__(self, reader: PayloadReader) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._calls = 0
        self._has_gone_back = False
        self.done: dict[int, list[bytes | None]] = {0: [], 1: []}
        self.read: list[tuple[list[bytes | None], list[bytes | None]]] = []
        """What was read ahead, and what was delivered."""

    def __call__(self, batch: Batch) -> Outcome:
        ahead = found_ahead(batch, self._reader)
        with self._lock:
            if ahead is not None:
                self.read.append((ahead, batch.payloads()))
            self._calls += 1
            done = self.done[batch.partition]
            if self._calls == 20 and not self._has_gone_back:
                self._has_gone_back = True
                del done[5:]
                return Outcome(0, Seek(5))
            count = [len(batch), len(batch) // 2, 0, len(batch)][self._calls % 4]
            done += batch.payloads()[:count]
            return Outcome(count, RetryAfter(1)) if count == 0 else Outcome(count)


def test_what_is_read_ahead_is_what_is_delivered(kafka: str, binder: KafkaBinder, topic: str) -> None:
    create_topic(kafka, topic, 2)
    producer = output(binder, topic)
    sent = {partition: [b"%d/%d" % (partition, n) for n in range(EACH)] for partition in range(2)}
    for partition, payloads in sent.items():
        send(producer, *payloads, partition=partition)
    reader = PayloadReader()
    listener = Listener(reader)
    target = replace(input_target(topic, topic, startOffset="earliest"), readers=(reader,), batch=LIMIT)
    with bound(binder, target, listener):
        eventually(lambda: {p: len(done) for p, done in listener.done.items()} == {0: EACH, 1: EACH}, WITHIN_S, "")
    assert listener.done == sent
    assert [delivered for _, delivered in listener.read] == [ahead for ahead, _ in listener.read]
    assert len(listener.read) > EACH // LIMIT // 2
