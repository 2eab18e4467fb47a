"""A binder of the real broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streambind.binders.kafka import KafkaBinder
from tests.integration.kafka.bench import kafka_binder


@pytest.fixture
def binder(kafka: str) -> Iterator[KafkaBinder]:
    it = kafka_binder(kafka)
    yield it
    it.close(10_000)
