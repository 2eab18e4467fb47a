"""A web service that is asked to end sends what it has committed, before it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import create_engine, text

from streambind.testing.eventually import eventually
from tests.acceptance.sample import Sample
from tests.acceptance.services import Services
from tests.acceptance.stage import Stage, server_databases
from tests.services import FreshDatabases, KafkaBroker

WITHIN_S = 20.0
_UNSENT = "SELECT count(*) FROM sb_outbox"
"""Rows go only once the broker has confirmed them."""
_LISTENING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"


@pytest.fixture
def stage(own_kafka: KafkaBroker, postgres: FreshDatabases) -> Iterator[Stage]:
    with server_databases(postgres) as new_database:
        yield Stage(own_kafka.address, new_database)


def test_rows_that_wait_in_the_outbox_are_sent_before_the_service_ends(
    stage: Stage, services: Services, own_kafka: KafkaBroker
) -> None:
    urls: list[str] = []

    def new_database() -> str:
        urls.append(stage.new_database())
        return urls[-1]

    sample = Sample.on(replace(stage, new_database=new_database), services)
    category, url = sample.category, urls[0]
    category.start_web()
    assert category.call("POST", "/lectureCategories", {"categoryName": "first"}).status == 201
    with stage.reader(sample.topic) as reader:
        reader.read(1, WITHIN_S)
        with _standing_still(own_kafka):
            for name in ("second", "third"):
                assert category.call("POST", "/lectureCategories", {"categoryName": name}).status == 201
            assert _ask(url, _UNSENT) == 2
            eventually(lambda: _ask(url, _LISTENING) == 1, WITHIN_S, "the service does not listen to its database")
            category.ask_to_stop()
            # What ends first of an application. A service that does not drain has ended altogether by then.
            eventually(lambda: not _ask(url, _LISTENING), WITHIN_S, "the service does not begin to end")
        category.wait_until_stopped()
        assert _ask(url, _UNSENT) == 0, category.tail()
        assert [record.key for record in reader.read(3, WITHIN_S)] == [b"1", b"2", b"3"]


@contextmanager
def _standing_still(broker: KafkaBroker) -> Iterator[None]:
    broker.pause()
    try:
        yield
    finally:
        broker.resume()


def _ask(url: str, query: str) -> int:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return connection.scalar(text(query)) or 0
    finally:
        engine.dispose()
