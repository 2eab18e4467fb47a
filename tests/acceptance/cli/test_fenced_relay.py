"""A relay that stands still with rows in memory while another takes over, on a real broker (an embedded one shuts
nobody out): what a consumer without the sequence guard reads, uncommitted records included."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from streambind.message import Message
from streambind.testing.eventually import eventually
from tests.acceptance.cli.conftest import WITHIN_S, Shell, Started
from tests.acceptance.cli.writer import Writer, sequences
from tests.integration.relay.wire import gaps, missing, overtaken

KEYS = range(12)


def _everything(brokers: str, topic: str) -> dict[bytes | None, list[int]]:
    """What a consumer sees that does not wait for transactions, as Spring's does by default."""
    settings = {
        "bootstrap.servers": brokers,
        "group.id": "unguarded",
        "isolation.level": "read_uncommitted",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    }
    consumer, messages, ended = Consumer(settings), list[Message](), False
    consumer.assign([TopicPartition(topic, 0, 0)])
    while not ended:
        record = consumer.poll(WITHIN_S)
        assert record is not None, "the broker does not answer"
        error = record.error()
        if error is None:
            headers: Any = record.headers()
            messages.append(Message(record.value(), record.key(), raw_headers=headers))
        else:
            assert error.code() == KafkaError._PARTITION_EOF, error
            ended = True
    consumer.close()
    return sequences(messages)


def _is_stopped(relay: Started) -> bool:
    return Path(f"/proc/{relay.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@contextmanager
def _sleeping(shell: Shell, point: str, fencing: str) -> Iterator[Started]:
    """A relay that has stopped itself at the failpoint."""
    shell.environment["STREAMBIND_FAILPOINTS"] = f"{point}=stop@1"
    setting = f"--streambind.outbox.fencing={fencing}"
    with shell.started("relay", "service", setting) as relay:
        del shell.environment["STREAMBIND_FAILPOINTS"]
        eventually(lambda: _is_stopped(relay), WITHIN_S, lambda: relay.output)
        yield relay


@pytest.mark.parametrize("point", ["relay.before_send", "kafka.in_transaction"])
def test_fenced_it_is_shut_out(writer: Writer, shell: Shell, kafka: str, topic: str, point: str) -> None:
    for _ in range(3):
        writer.commit(KEYS)
    with _sleeping(shell, point, "transactional") as sleeper:
        writer.commit(KEYS)
        with shell.started("relay", "service", "--streambind.outbox.fencing=transactional") as other:
            eventually(lambda: writer.status().backlog == 0, WITHIN_S, lambda: other.output)
            sleeper.process.send_signal(signal.SIGCONT)
            sleeper.says("the fence is lost")
            assert overtaken(_everything(kafka, topic)) == []
            eventually(lambda: writer.shards() == [8, 8], WITHIN_S, lambda: f"{sleeper.output}\n{other.output}")
            writer.commit(KEYS)
            eventually(lambda: writer.status().backlog == 0, WITHIN_S, lambda: f"{sleeper.output}\n{other.output}")
            assert (sleeper.end(), other.end()) == (0, 0)
    travelled = _everything(kafka, topic)
    assert overtaken(travelled) == gaps(travelled) == []
    assert missing(travelled, {b"%d" % key: 5 for key in KEYS}) == []


def test_without_fences_the_old_values_come_last(writer: Writer, shell: Shell, kafka: str, topic: str) -> None:
    for _ in range(3):
        writer.commit(KEYS)
    with _sleeping(shell, "relay.before_send", "none") as sleeper:
        writer.commit(KEYS)
        with shell.started("relay", "service", "--streambind.outbox.fencing=none") as other:
            eventually(lambda: writer.status().backlog == 0, WITHIN_S, lambda: other.output)
            before = sum(map(len, _everything(kafka, topic).values()))
            sleeper.process.send_signal(signal.SIGCONT)
            sent = 3 * len(KEYS)
            eventually(
                lambda: sum(map(len, _everything(kafka, topic).values())) == before + sent,
                WITHIN_S,
                lambda: f"{sleeper.output}\n{other.output}",
            )
    travelled = _everything(kafka, topic)
    assert overtaken(travelled) != []
    assert gaps(travelled) == []
