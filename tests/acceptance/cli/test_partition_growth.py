"""A topic that gets more partitions while events of its keys are unread: they wait for their predecessors."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from streambind import stream_listener
from streambind.testing.eventually import eventually
from tests.acceptance.cli.conftest import Inside
from tests.acceptance.cli.pair import WITHIN_S, ItemChanged, Pair, keep

PARTITIONS = 4


@pytest.fixture
def pair(inside: Inside, kafka: str, topic: str, tmp_path: Path, postgres_url: str) -> Pair:
    """The reader is on PostgreSQL: SQLite has one writer at a time."""
    it = Pair(inside, kafka, topic, f"sqlite:///{tmp_path / 'source.db'}", postgres_url, concurrency=2)
    it.write()
    return it


@pytest.mark.parametrize("known", [False, True], ids=["keys-never-seen", "keys-seen-before"])
def test_a_key_in_two_partitions_keeps_its_order(pair: Pair, known: bool) -> None:
    names = [f"i{n}" for n in range(1, 21)]
    if known:
        pair.save(**dict.fromkeys(names, "zeroth"))
        pair.send()
        with pair.reader() as reader:
            pair.copied(reader, **dict.fromkeys(names, "zeroth"))
        reader.engine.dispose()
    pair.save(**dict.fromkeys(names, "first"))
    pair.send()
    gate, seen = threading.Event(), threading.Event()

    @stream_listener("in-items")
    def slow(event: ItemChanged, session: Session) -> None:
        """The only partition stands still at its first event; those that are added go on."""
        if event.name == "first":
            seen.set()
            assert gate.wait(WITHIN_S)
        keep(event, session)

    reader = pair.reader(slow)
    with reader:
        assert seen.wait(WITHIN_S)
        pair.grow_topic(PARTITIONS)
        pair.save(**dict.fromkeys(names, "second"))
        pair.send()
        eventually(
            lambda: (figures := reader.figures("in-items")) and figures.parked > 0,
            WITHIN_S,
            lambda: f"{reader.figures('in-items')}, {reader.status()}",
        )
        gate.set()
        pair.copied(reader, **dict.fromkeys(names, "second"))
    reader.engine.dispose()
    assert pair.items() == pair.copies()
    verified = pair.inside.run("verify", "reader", "in-items", "--source", "source", "--settled")
    assert verified.returncode == 0, verified.stdout
