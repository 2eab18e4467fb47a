"""The log of a world put together anew from its records: repeated, left out, late or forged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import uuid4

from confluent_kafka import Producer

from streambind.message import EVENT_ID, ORIGIN, Message
from tests.faults.world import World

WITHIN_S = 60.0


class Rewritten:
    """The source has written `records` to a topic that nobody reads; the world reads another one, which holds what
    is appended to it."""

    def __init__(self, fresh: World, changes: int) -> None:
        fresh.create_topic(partitions=2)
        assert fresh.source(changes).wait_for_end(WITHIN_S) == 0
        with fresh.stage.reader(fresh.topic) as reader:
            self.records: Sequence[Message] = reader.read(changes, WITHIN_S)
        self._from, self._to = fresh.topic, f"{fresh.topic}-rewritten"
        fresh.topic = self._to
        fresh.create_topic(partitions=2)
        self._producer = Producer({"bootstrap.servers": fresh.stage.brokers})

    def of_keys(self, number: int) -> list[Message]:
        """The record of that number of each key, counted from 0, backwards from the end if it is negative."""
        by_key: dict[bytes | None, list[Message]] = {}
        for record in self.records:
            by_key.setdefault(record.key, []).append(record)
        return [records[number] for records in by_key.values()]

    def append(self, records: Iterable[Message]) -> None:
        """To the partitions that they came from."""
        for record in records:
            headers = [(name, self._renamed(name, value)) for name, value in record.raw_headers]
            assert record.partition is not None
            self._producer.produce(
                self._to, record.payload, record.key, partition=record.partition, headers=headers
            )
        assert self._producer.flush(WITHIN_S) == 0

    def _renamed(self, name: str, value: bytes | None) -> str | bytes | None:
        """A number counts on its own destination only."""
        return value if name != ORIGIN or value is None else value.replace(self._from.encode(), self._to.encode())


def forged(record: Message, payload: bytes | None) -> Message:
    """Another event of the same key and number, which says something else."""
    kept = [(name, value) for name, value in record.raw_headers if name != EVENT_ID]
    headers = [*kept, (EVENT_ID, str(uuid4()).encode())]
    return Message(payload, record.key, raw_headers=headers, partition=record.partition)
