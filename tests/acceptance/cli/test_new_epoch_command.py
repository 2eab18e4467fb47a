"""A source whose database is restored from a backup: with a new epoch its consumers follow, without one they stop
or pass events over, and it can be seen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from streambind.testing.eventually import eventually
from tests.acceptance.cli.conftest import NOWHERE, Inside
from tests.acceptance.cli.pair import WITHIN_S, Pair


@dataclass
class Backup:
    """Takes the source's database back to where it was when this was made."""

    restore: Callable[[], None]


def back_up(url: str) -> Backup:
    if url.startswith("sqlite"):
        path = Path(make_url(url).database or "")
        kept = path.with_suffix(".backup")
        shutil.copy(path, kept)
        return Backup(lambda: _copy_file(kept, path))
    name = make_url(url).database or ""
    _create(url, f"{name}_backup", template=name)

    def restore() -> None:
        _drop(url, name)
        _create(url, name, template=f"{name}_backup")

    return Backup(restore)


def _copy_file(kept: Path, path: Path) -> None:
    shutil.copy(kept, path)


def _run(url: str, statement: str) -> None:
    engine = create_engine(make_url(url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def _create(url: str, name: str, *, template: str) -> None:
    _run(url, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')


def _drop(url: str, name: str) -> None:
    _run(url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def pair(request: pytest.FixtureRequest, inside: Inside, kafka: str, topic: str, tmp_path: Path) -> Iterator[Pair]:
    url = f"sqlite:///{tmp_path / 'source.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    it = Pair(inside, kafka, topic, url, f"sqlite:///{tmp_path / 'reader.db'}")
    it.write()
    yield it
    if request.param == "postgresql":
        _drop(url, f"{make_url(url).database}_backup")


def rewound(pair: Pair) -> Backup:
    """A history of which the last part is undone by a restore; the reader has applied all of it."""
    pair.save(i1="a", i2="b")
    pair.send()
    backup = back_up(pair.source_url)
    pair.save(i1="undone")
    pair.save(i1="undone too", i2="undone")
    pair.send()
    pair.receive(i1="undone too", i2="undone")
    backup.restore()
    assert pair.items() == {1: "a", 2: "b"}
    return backup


def test_with_a_new_epoch_the_reader_follows(pair: Pair) -> None:
    rewound(pair)
    dry = pair.inside.run("outbox", "new-epoch", "source", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "2 keys there with numbers that the database has not given: it was restored" in dry.stdout
    assert f"{pair.topic} key 1: number 3 there, 1 here" in dry.stdout
    assert dry.stdout.endswith("epoch 2 would follow 1\n")
    document = json.loads(pair.inside.run("outbox", "new-epoch", "source", "--dry-run", "--json").stdout)
    assert (document["dry_run"], document["before"], document["epoch"]) == (True, 1, 2)
    assert (document["events_seen"], len(document["ahead"]), document["relays"]) == (5, 2, [])
    first = {"destination": pair.topic, "key": "1", "number_there": 3, "number_here": 1}
    assert first in document["ahead"]
    done = pair.inside.run("outbox", "new-epoch", "source")
    assert done.stdout.endswith("epoch 2 follows 1\n")
    pair.save(i1="new", i2="new too", i3="c")
    pair.send()
    pair.receive(i1="new", i2="new too", i3="c")
    assert pair.copies() == pair.items()
    calm = pair.inside.run("outbox", "new-epoch", "source", "--dry-run")
    assert "nothing speaks of a restore" in calm.stdout


def test_a_second_restore_of_the_same_backup_gets_an_epoch_of_its_own(pair: Pair) -> None:
    backup = rewound(pair)
    assert pair.inside.run("outbox", "new-epoch", "source").returncode == 0
    pair.save(i1="second history")
    pair.send()
    pair.receive(i1="second history", i2="undone")
    backup.restore()
    # The database knows of epoch 1 only; the topic does of 2.
    assert pair.inside.run("outbox", "new-epoch", "source").stdout.endswith("epoch 3 follows 1\n")
    # Item 2 has not had an event in epoch 2.
    pair.save(i1="new", i2="new too")
    pair.send()
    pair.receive(i1="new", i2="new too")


def test_without_one_the_reader_stops_before_the_numbers_meet(pair: Pair) -> None:
    rewound(pair)
    pair.save(i1="new", i2="new too")
    pair.send()
    reader = pair.reader()
    with reader:
        # Item 1: number 2 came after number 3, and is passed over. Item 2: number 2 came again with another event.
        eventually(
            lambda: any("SequenceForkError" in (p.stalled or "") for s in reader.status() for p in s.partitions),
            WITHIN_S,
            lambda: f"{reader.status()}, {reader.figures('in-items')}",
        )
        (stalled,) = [p.stalled for s in reader.status() for p in s.partitions if p.stalled]
        assert "streambind outbox new-epoch TARGET" in stalled
        figures = reader.figures("in-items")
        assert figures is not None
        assert figures.duplicates == 1
    reader.engine.dispose()
    assert pair.copies() == {1: "undone too", 2: "undone"}


def test_mistakes_are_told(pair: Pair) -> None:
    assert pair.inside.run("outbox", "new-epoch", "source", "--to", "5", "--without-broker").returncode == 0
    done = pair.inside.run("outbox", "new-epoch", "source", "--to", "7", "--without-broker", "--json")
    assert json.loads(done.stdout)["dry_run"] is False
    again = pair.inside.run("outbox", "new-epoch", "source", "--to", "5", "--without-broker")
    assert again.returncode == 1
    assert "the epoch is 7 already; choose a higher one than 5" in again.stderr


def test_a_broker_that_is_away_exits_with_3_unless_it_is_not_asked(pair: Pair) -> None:
    pair.brokers = NOWHERE
    pair.write()
    assert pair.inside.run("outbox", "new-epoch", "source").returncode == 3
    assert pair.inside.run("outbox", "new-epoch", "source", "--without-broker").returncode == 0
