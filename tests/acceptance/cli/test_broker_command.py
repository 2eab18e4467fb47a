"""`streambind broker` as a process."""

from __future__ import annotations

import re
import signal

import pytest

from streambind.binders.kafka import KAFKA
from tests.acceptance.cli.conftest import Shell


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_the_topics_asked_for_and_ends_cleanly(shell: Shell, number: signal.Signals) -> None:
    arguments = ["--port", 0, "--topic", "one", "--topic", "three:3", "--partitions", 2]
    with shell.started("broker", *arguments) as broker:
        broker.says("topic three, 3 partitions")
        assert "topic one, 2 partitions" in broker.output
        [address] = re.findall(r"embedded Kafka on (\S+),", broker.output)
        binder = KAFKA.create(KAFKA.binder_properties.model_validate({"brokers": address}))
        infos = [binder.describe(topic, 10_000) for topic in ("one", "three")]
        binder.close(1000)
        assert [info and info.partitions for info in infos] == [2, 3]
        assert broker.end(number) == 0
    assert "Traceback" not in broker.output
