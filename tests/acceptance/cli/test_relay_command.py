"""`streambind relay`: relays as processes of their own, for services that only write."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from streambind.binders.kafka import EmbeddedBroker
from streambind.testing.eventually import eventually
from tests.acceptance.cli.conftest import WITHIN_S, Shell, service
from tests.acceptance.cli.writer import CONFIGURATION, Writer, sequences
from tests.acceptance.stage import Stage, sqlite_databases
from tests.integration.relay.wire import gaps, overtaken


def test_two_share_the_shards_and_one_takes_over_from_a_killed_one(
    writer: Writer, shell: Shell, kafka: str, topic: str
) -> None:
    assert writer.stream.relay is None
    with shell.started("relay", "service") as first, shell.started("relay", "service") as second:
        eventually(lambda: writer.shards() == [8, 8], WITHIN_S, lambda: f"{first.output}\n{second.output}")
        writer.commit(range(40))
        eventually(lambda: writer.status().backlog == 0, WITHIN_S, lambda: f"{first.output}\n{second.output}")

        first.process.kill()
        writer.commit(range(40))
        eventually(lambda: writer.shards() == [16], WITHIN_S, lambda: second.output)
        eventually(lambda: writer.status().backlog == 0, WITHIN_S, lambda: second.output)
        second.says("has shards 0-15")
        assert second.end() == 0
    assert "SIGTERM: draining" in second.output
    assert "messages were confirmed" in second.output
    assert "Traceback" not in second.output
    with Stage(kafka, lambda: "").reader(topic) as reader:
        travelled = sequences(reader.read(80, WITHIN_S))
    assert {key: sorted(set(numbers)) for key, numbers in travelled.items()} == {
        b"%d" % key: [1, 2] for key in range(40)
    }
    assert gaps(travelled) == overtaken(travelled) == []


def test_what_was_written_before_it_came_is_sent_and_it_drains_on_sigterm(
    shell: Shell, broker: EmbeddedBroker, topic: str, tmp_path: Path
) -> None:
    writer = service(shell, broker.address, sqlite_databases(tmp_path)(), topic)
    with writer.stream:
        writer.commit(range(10))
    with shell.started("relay", "service") as relay:
        relay.says("has shards 0-15")
        writer.commit(range(10))
        assert relay.end(signal.SIGINT) == 0
    assert "ended; 20 messages were confirmed" in relay.output
    assert "in-other" not in relay.output
    assert writer.status().backlog == 0


@pytest.mark.parametrize(
    ("yaml", "says"),
    [
        ("spring.cloud.stream.bindings.out-a.destination: a\n", "there is nothing to relay: no database"),
        ("streambind.datasource.url: sqlite:///service.db\n", "an output whose producer.publish is outbox"),
        ("streambind.outbox.lease: soon\n", "error"),
    ],
    ids=["no database", "no output", "a wrong value"],
)
def test_what_it_cannot_work_with_is_said(shell: Shell, yaml: str, says: str) -> None:
    shell.write({"application.yaml": yaml})
    result = shell.run("relay")
    assert result.returncode == 1
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_missing_tables_name_the_command(shell: Shell, postgres_url: str, broker: EmbeddedBroker) -> None:
    shell.write({"service/application.yaml": CONFIGURATION})
    shell.environment.update(KAFKA_BROKERS=broker.address, DATABASE_URL=postgres_url, TOPIC="t")
    result = shell.run("relay", "service")
    assert result.returncode == 1
    assert "`streambind outbox create-tables service`" in result.stderr
    assert "Traceback" not in result.stderr
