"""`streambind snapshot` end to end: rows that no event has told of reach a read model; killed, it goes on."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, insert, select
from sqlalchemy.orm import Session

from streambind.testing.eventually import eventually
from tests.acceptance.cli.conftest import NOWHERE, WITHIN_S, Inside, Shell
from tests.acceptance.cli.pair import Item, Pair

ROOT = Path(__file__).parents[3]
APPLICATION = """\
from streambind import StreamApplication
from tests.acceptance.cli.pair import Item

stream = StreamApplication("source", include=[Item], arguments=())
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def source_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'source.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


def _pair(inside: Inside, brokers: str, topic: str, source_url: str) -> Pair:
    it = Pair(inside, brokers, topic, source_url, f"sqlite:///{inside.folder / 'reader.db'}")
    it.write()
    inside.write({f"{module(it)}.py": APPLICATION})
    return it


def module(pair: Pair) -> str:
    """The module of the application: of each test its own, for modules stay in a process."""
    return f"source_{pair.topic.rpartition('-')[2]}"


def target(pair: Pair) -> str:
    return f"{module(pair)}:stream"


@pytest.fixture
def pair(inside: Inside, kafka: str, topic: str, source_url: str) -> Pair:
    return _pair(inside, kafka, topic, source_url)


@pytest.fixture
def offline(inside: Inside, topic: str, source_url: str) -> Pair:
    """Without a broker, which no snapshot needs."""
    return _pair(inside, NOWHERE, topic, source_url)


@pytest.fixture
def process(shell: Shell) -> Shell:
    """Commands in processes of their own, which find the application."""
    shell.environment["PYTHONPATH"] = str(ROOT)
    return shell


def fill(pair: Pair, number: int) -> None:
    """Rows that were there before streambind."""
    engine = create_engine(pair.source_url)
    with engine.begin() as connection:
        connection.execute(insert(Item), [{"id": each, "name": f"name {each}"} for each in range(1, number + 1)])
    engine.dispose()


def outbox(pair: Pair) -> list[tuple[bytes, int]]:
    source = pair.source()
    assert source.database is not None
    table = source.database.tables.outbox
    with Session(source.engine) as session:
        found = [
            (row.key, row.seq) for row in session.execute(select(table.c.key, table.c.seq).order_by(table.c.id))
        ]
    source.engine.dispose()
    return found


def taken(pair: Pair, *options: str, shell: Shell | None = None) -> dict[str, Any]:
    result = (shell or pair.inside).run("snapshot", target(pair), "out-items", "--json", *options)
    assert result.returncode == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_rows_of_before_reach_a_read_model(pair: Pair) -> None:
    fill(pair, 5)
    pair.save(i3="changed", i9="new")
    shown = taken(pair, "--dry-run")
    assert shown == {
        "binding": "out-items",
        "dry_run": True,
        "by_class": {f"{Item.__module__}.Item": 6},
        "snapshot": None,
        "rows": 0,
        "events": 0,
        "unfinished": None,
    }
    assert len(outbox(pair)) == 2
    document = taken(pair, "--rate", "1000", "--chunk", "2")
    assert (document["rows"], document["events"], document["unfinished"]) == (6, 6, None)
    assert (document.keys(), document["dry_run"]) == (shown.keys(), False)
    assert sorted(outbox(pair)) == [
        (b"1", 1),
        (b"2", 1),
        (b"3", 1),
        (b"3", 2),
        (b"4", 1),
        (b"5", 1),
        (b"9", 1),
        (b"9", 2),
    ]
    pair.send()
    pair.receive(i1="name 1", i2="name 2", i3="changed", i4="name 4", i5="name 5", i9="new")
    result = pair.inside.run("verify", "reader", "in-items", "--source", "source", "--settled")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("source_url", ["sqlite"], indirect=True)
def test_a_terminal_shows_how_far_it_is(offline: Pair, process: Shell) -> None:
    fill(offline, 7)
    command = ("snapshot", target(offline), "out-items", "--chunk", "2", "--rate", "20")
    shown = process.shown(*command)
    percents = [int(each) for each in re.findall(r"rows .*?(\d+)%", shown)]
    assert percents[0] == 0
    assert percents[-1] == 100
    assert percents == sorted(percents)
    assert sum(0 < each < 100 for each in percents) > 0
    assert "%" not in process.run(*command).stderr


@pytest.mark.parametrize("point", ["snapshot.before_commit", "snapshot.after_commit", "capture.after_rows"])
def test_killed_it_goes_on_where_it_was(offline: Pair, process: Shell, point: str) -> None:
    fill(offline, 7)
    process.environment["STREAMBIND_FAILPOINTS"] = f"{point}=kill@2"
    killed = process.run("snapshot", target(offline), "out-items", "--chunk", "2")
    assert killed.returncode == -9, killed.stderr
    del process.environment["STREAMBIND_FAILPOINTS"]
    assert 0 < len(outbox(offline)) < 7
    done = len(outbox(offline))
    assert taken(offline, "--dry-run")["unfinished"] == done
    document = taken(offline, "--chunk", "2", shell=process)
    assert (document["rows"], document["unfinished"]) == (7, done)
    assert outbox(offline) == [(b"%d" % each, 1) for each in range(1, 8)]


def test_interrupted_it_says_how_to_go_on(offline: Pair, process: Shell) -> None:
    fill(offline, 7)
    command = ("snapshot", target(offline), "out-items", "--chunk", "2", "--rate", "0.1")
    with process.started(*command) as snapshot:
        eventually(lambda: len(outbox(offline)) == 2, WITHIN_S, lambda: snapshot.output)
        assert snapshot.end(signal.SIGINT) == 130
        assert snapshot.output == "it ended in the middle; the same command goes on, --restart begins anew\n"


def test_begun_anew_it_sends_all_again(offline: Pair, process: Shell) -> None:
    fill(offline, 3)
    process.environment["STREAMBIND_FAILPOINTS"] = "snapshot.after_commit=kill@1"
    assert process.run("snapshot", target(offline), "out-items", "--chunk", "2").returncode == -9
    other = offline.inside.run("snapshot", target(offline), "out-items", "--job-type", "INSERT")
    assert other.returncode == 1
    assert "finish it with the same, or begin anew with --restart" in other.stderr
    assert taken(offline, "--job-type", "INSERT", "--restart", "--where", "id < 3")["rows"] == 2
    assert outbox(offline) == [(b"1", 1), (b"2", 1), (b"1", 2), (b"2", 2)]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("source", "out-items"), "name the application as module:attribute"),
        (("APPLICATION", "out-item"), "out-item is no output binding; such are: out-items"),
    ],
)
def test_mistakes_are_told(offline: Pair, arguments: tuple[str, ...], text: str) -> None:
    words = [target(offline) if word == "APPLICATION" else word for word in arguments]
    result = offline.inside.run("snapshot", *words)
    assert result.returncode == 1
    assert text in result.stderr


def test_a_condition_that_is_none_is_a_wrong_command_line(offline: Pair) -> None:
    result = offline.inside.run("snapshot", target(offline), "out-items", "--where", "nmae = 'a'")
    assert result.returncode == 2
    told = " ".join(result.stderr.split())
    assert "Invalid value for --where" in told
    assert "nmae" in told.partition("Item:")[2]
    assert told.endswith("; its columns are: id, name")
    assert outbox(offline) == []


def test_only_what_leaves_by_the_outbox_can_be_sent_in_order(offline: Pair) -> None:
    file = offline.inside.folder / "source" / "application.yaml"
    file.write_text(
        file.read_text().replace(
            f"destination: {offline.topic}", f"destination: {offline.topic}\n      producer.publish: after-commit"
        )
    )
    result = offline.inside.run("snapshot", target(offline), "out-items")
    assert result.returncode == 1
    assert "out-items has producer.publish: after-commit" in result.stderr
