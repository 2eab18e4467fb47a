"""The client's own log lines: all there, but not a hundred times."""

from __future__ import annotations

import logging
import re

import pytest

from streambind.binders.kafka import client_log
from streambind.binders.kafka.client_log import ClientLog
from streambind.testing.eventually import eventually

REFUSED = (
    "FAIL [rdkafka#consumer-1] [thrd:a:9092]: a:9092: Connect failed: Connection refused (after %dms in state X)"
)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "streambind.binders.kafka")
    return caplog


def test_a_line_that_only_repeats_another_is_kept_back(lines: pytest.LogCaptureFixture) -> None:
    log = ClientLog()
    for number in range(50):
        log.log(logging.ERROR, REFUSED, number)
    log.log(logging.WARNING, "something else")
    assert [record.getMessage() for record in lines.records] == [REFUSED % 0, "something else"]


def test_how_many_were_kept_back_is_told_later(
    lines: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_log, "QUIET_S", 0.1)
    log = ClientLog()

    def again() -> bool:
        log.log(logging.ERROR, REFUSED, 7)
        return len(lines.records) > 1

    assert not again()
    assert not again()
    eventually(again, 5, "the line is kept back for ever")
    told = re.fullmatch(r".* \((\d+) more like it\)", lines.records[1].getMessage())
    assert told is not None
    assert int(told[1]) >= 1


def test_what_nobody_listens_to_is_not_remembered(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "streambind.binders.kafka")
    log = ClientLog()
    log.log(logging.DEBUG, "quiet")
    assert caplog.records == []


def test_what_every_new_producer_says_is_no_warning(lines: pytest.LogCaptureFixture) -> None:
    said = (
        "GETPID [rdkafka#producer-1] [thrd:main]: Failed to acquire idempotence PID from broker a/1: x: retrying"
    )
    ClientLog().log(logging.WARNING, "%s", said)
    assert lines.records == []
    lines.set_level(logging.DEBUG, "streambind.binders.kafka")
    ClientLog().log(logging.WARNING, "%s", said)
    assert [(record.levelname, record.getMessage()) for record in lines.records] == [("DEBUG", said)]
