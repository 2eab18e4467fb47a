"""`streambind verify` end to end: two services, two databases, a real broker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tests.acceptance.cli.conftest import NOWHERE, Inside
from tests.acceptance.cli.pair import Pair
from tests.acceptance.cli.test_new_epoch_command import back_up


@pytest.fixture
def pair(inside: Inside, kafka: str, topic: str, tmp_path: Path) -> Pair:
    it = Pair(inside, kafka, topic, f"sqlite:///{tmp_path / 'source.db'}", f"sqlite:///{tmp_path / 'reader.db'}")
    it.write()
    return it


@pytest.fixture(
    params=[
        pytest.param("postgres_url", marks=pytest.mark.postgres),
        pytest.param("mariadb_url", marks=pytest.mark.mariadb),
    ]
)
def on_server(request: pytest.FixtureRequest, pair: Pair) -> Pair:
    """The reader's read model on a database server."""
    pair.reader_url = request.getfixturevalue(request.param)
    pair.write()
    return pair


def verified(pair: Pair, *options: str, source: str = "source") -> tuple[int, dict[str, Any]]:
    """The exit code, and the counts that are not 0."""
    result = pair.inside.run("verify", "reader", "in-items", "--source", source, "--json", *options)
    assert result.returncode in (0, 1), result.stderr
    document = json.loads(result.stdout)[pair.topic]
    return result.returncode, {state: n for state, n in document["counts"].items() if n}


def change(url: str, statement: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        assert connection.execute(text(statement)).rowcount == 1
    engine.dispose()


def test_what_was_applied_is_proven_and_what_waits_is_told(on_server: Pair) -> None:
    pair = on_server
    pair.save(i1="a", i2="b", i3="c")
    pair.send()
    pair.receive(i1="a", i2="b", i3="c")
    assert verified(pair, "--settled") == (0, {"applied": 3})
    assert verified(pair, "--settled", source=pair.source_url) == (0, {"applied": 3})
    pair.save(i1="aa")
    pair.send()
    pair.save(i2="bb", i4="d")
    assert verified(pair) == (0, {"applied": 1, "on the topic": 1, "in the outbox": 2})
    assert verified(pair, "--settled")[0] == 1
    shown = pair.inside.run("verify", "reader", "in-items", "--source", "source")
    assert shown.stdout.startswith(f"proven  {pair.topic}: 4 keys of source ")
    assert "committed, not yet sent" in shown.stdout
    pair.send()
    pair.receive(i1="aa", i2="bb", i3="c", i4="d")
    assert verified(pair, "--settled") == (0, {"applied": 4})


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        ("DELETE FROM sb_guard WHERE key = CAST('2' AS BLOB)", "missing"),
        ("UPDATE sb_guard SET seq = seq + 1 WHERE key = CAST('2' AS BLOB)", "ahead"),
        ("UPDATE sb_guard SET event_id = '0' WHERE key = CAST('2' AS BLOB)", "forked"),
    ],
)
def test_it_rejects_a_group_that_says_otherwise(pair: Pair, statement: str, state: str) -> None:
    pair.save(i1="a", i2="b")
    pair.send()
    pair.receive(i1="a", i2="b")
    change(pair.reader_url, statement.replace("'0'", "'" + "0" * 32 + "'"))
    assert verified(pair) == (1, {"applied": 1, state: 1})
    shown = pair.inside.run("verify", "reader", "in-items", "--source", "source")
    assert shown.returncode == 1
    assert shown.stdout.startswith("not proven")


def test_what_retention_took_is_missing_by_number(pair: Pair) -> None:
    pair.save(i1="a")
    pair.send()
    pair.receive(i1="a")
    pair.save(i1="lost", i2="b")
    pair.send()
    pair.delete_records(2)
    assert verified(pair) == (1, {"missing": 1, "on the topic": 1})
    shown = pair.inside.run("verify", "reader", "in-items", "--source", "source")
    assert "retention" in shown.stdout


def test_a_restore_without_a_new_epoch_cannot_be_missed(pair: Pair) -> None:
    pair.save(i1="a", i2="b")
    pair.send()
    backup = back_up(pair.source_url)
    pair.save(i1="undone", i2="undone", i3="undone")
    pair.save(i1="undone too")
    pair.send()
    pair.receive(i1="undone too", i2="undone", i3="undone")
    backup.restore()
    # Nothing has been written since: the reader holds what the source has forgotten.
    assert verified(pair) == (1, {"ahead": 3})
    # A number that was applied already comes again, and is passed over in silence: here it is told.
    pair.save(i1="new")
    pair.send()
    pair.receive(i1="undone too", i2="undone", i3="undone")
    assert verified(pair)[0] == 1
    assert pair.inside.run("outbox", "new-epoch", "source").returncode == 0
    assert verified(pair) == (1, {"undone": 3})
    pair.save(i1="newer", i2="newer")
    pair.send()
    pair.receive(i1="newer", i2="newer", i3="undone")
    # Item 3 is unknown to the source, which will never say that it is gone.
    assert verified(pair) == (1, {"applied": 2, "undone": 1})


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("in-nothing", "--source", "source"), "in-nothing is no input that keeps numbers in a database"),
        (("in-items", "--source", "nowhere"), "no configuration at nowhere"),
        (("in-items", "--source", "sqlite:///missing/source.db"), "missing/source.db"),
        (("in-items", "--source", "nonsense://x"), "is not a SQLAlchemy URL"),
    ],
)
def test_mistakes_are_told(pair: Pair, arguments: tuple[str, ...], text: str) -> None:
    result = pair.inside.run("verify", "reader", *arguments)
    assert result.returncode in (1, 3)
    assert text in result.stderr


def test_a_broker_that_is_away_exits_with_3(pair: Pair) -> None:
    pair.save(i1="a")
    pair.brokers = NOWHERE
    pair.write()
    assert pair.inside.run("verify", "reader", "in-items", "--source", "source").returncode == 3
