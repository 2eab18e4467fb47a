"""`streambind replica` end to end: a replica is held against its source, mended, and made anew."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, insert

from streambind import StreamApplication
from streambind.management import health
from streambind.replicas.fold import Fold
from streambind.replicas.source import Source
from streambind.testing.eventually import eventually
from tests.acceptance.cli.conftest import Inside, Shell
from tests.acceptance.cli.pair import WITHIN_S, Item
from tests.acceptance.cli.replica_pair import ReplicaPair

ROOT = Path(__file__).parents[3]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def pair(request: pytest.FixtureRequest, inside: Inside, kafka: str, topic: str, tmp_path: Path) -> ReplicaPair:
    """The replica on each database that can rebuild."""
    reader = f"sqlite:///{tmp_path / 'reader.db'}"
    if request.param == "postgresql":
        reader = request.getfixturevalue("postgres_url")
    it = ReplicaPair(inside, kafka, topic, f"sqlite:///{tmp_path / 'source.db'}", reader)
    it.write()
    return it


@pytest.fixture
def process(shell: Shell) -> Shell:
    """Commands in processes of their own, which find the applications."""
    shell.environment["PYTHONPATH"] = str(ROOT)
    return shell


Answer = tuple[int, dict[str, Any]]


def asked(
    pair: ReplicaPair, command: str, *options: str, shell: Shell | None = None
) -> tuple[int, dict[str, Any]]:
    result = (shell or pair.inside).run("replica", command, pair.target("reader"), "in-items", "--json", *options)
    assert result.returncode in (0, 1), result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return result.returncode, document


def counts(answer: Answer) -> tuple[int, int, int, int]:
    code, found = answer
    return code, found["missing"], found["extra"], found["wrong"]


def test_what_differs_is_found_and_mended(pair: ReplicaPair) -> None:
    source = ("--source", pair.target("source"))
    pair.save(i1="a", i2="b", i3="c")
    pair.send()
    pair.follow(1, 2, 3)
    assert counts(asked(pair, "diff")) == counts(asked(pair, "diff", *source)) == (0, 0, 0, 0)
    pair.by_hand(
        "UPDATE shown SET name = 'x' WHERE id = 1",
        "DELETE FROM shown WHERE id = 2",
        "INSERT INTO shown (id, name) VALUES (9, 'nobody')",
    )
    for how in ((), source):
        code, found = asked(pair, "diff", *how)
        assert (code, found["examples"]) == (1, {"wrong": [["1"]], "missing": [["2"]], "extra": [["9"]]})
    before = pair.shown()
    code, found = asked(pair, "repair", *source, "--dry-run")
    assert (code, found["sent"], found["removed"], found["refused"], pair.waiting()) == (1, 0, 0, [], 0)
    plan = pair.inside.run("replica", "repair", pair.target("reader"), "in-items", *source, "--dry-run")
    assert plan.stdout.endswith("would be: 2 rows sent again, 1 row deleted\n")
    assert (found["to_send"], found["to_remove"], found["dry_run"]) == (2, 1, True)
    assert pair.shown() == before
    code, found = asked(pair, "repair", *source)
    assert (code, found["sent"], found["removed"]) == (0, 2, 1)
    code, found = asked(pair, "diff", *source)
    assert (code, found["moving"]) == (0, 2)
    pair.send()
    pair.follow(1, 2, 3)
    assert counts(asked(pair, "diff", *source)) == (0, 0, 0, 0)
    assert counts(asked(pair, "diff")) == (0, 0, 0, 0)


def test_what_is_on_its_way_is_no_difference(pair: ReplicaPair) -> None:
    pair.save(i1="a", i2="b")
    pair.send()
    pair.follow(1, 2)
    pair.save(i1="later", i7="new")
    code, found = asked(pair, "diff", "--source", pair.target("source"))
    assert (code, found["moving"], found["wrong"], found["missing"]) == (0, 2, 0, 0)


@pytest.mark.parametrize(
    "point", ["rebuild.after_create", "rebuild.after_batch", "rebuild.before_swap", "rebuild.after_swap"]
)
def test_a_rebuild_that_is_killed_anywhere_comes_to_its_end(pair: ReplicaPair, process: Shell, point: str) -> None:
    engine = create_engine(pair.source_url)
    with engine.begin() as connection:
        connection.execute(insert(Item), [{"id": each, "name": f"n{each}"} for each in range(1, 701)])
    engine.dispose()
    assert pair.inside.run("snapshot", pair.target("source"), "out-items").returncode == 0
    pair.send()
    pair.follow(*range(1, 701))
    pair.by_hand("UPDATE shown SET name = 'x' WHERE id < 5", "DELETE FROM shown WHERE id BETWEEN 10 AND 20")
    process.environment["STREAMBIND_FAILPOINTS"] = f"{point}=kill@1"
    killed = process.run("replica", "rebuild", pair.target("reader"), "in-items")
    assert killed.returncode == -9, killed.stderr
    del process.environment["STREAMBIND_FAILPOINTS"]
    is_swapped = pair.shown() == pair.items()
    assert is_swapped is (point == "rebuild.after_swap")
    if not is_swapped:
        code, found = asked(pair, "rebuild", shell=process)
        assert (code, found["swapped"], found["wrong"], found["missing"]) == (0, True, 4, 11)
    assert pair.shown() == pair.items()
    again = process.run("replica", "rebuild", pair.target("reader"), "in-items")
    assert again.returncode == 1
    assert "confirm first" in again.stderr
    assert "dropped the old table" in process.run("replica", "confirm", pair.target("reader"), "in-items").stdout
    assert counts(asked(pair, "diff")) == (0, 0, 0, 0)


def test_a_service_that_runs_goes_on_in_the_new_table(pair: ReplicaPair, process: Shell) -> None:
    pair.save(i1="a", i2="b")
    pair.send()
    reader = pair.reader_of_replica()
    with reader:
        pair.shows(1, 2)
        pair.by_hand("UPDATE shown SET name = 'x' WHERE id = 1")
        assert asked(pair, "rebuild", shell=process)[1]["swapped"]
        pair.save(i2="later", i3="c")
        pair.send()
        pair.shows(1, 2, 3)
        eventually(lambda: freshness(reader) == (0.0, [0]), WITHIN_S, lambda: str(freshness(reader)))
    reader.engine.dispose()
    figures = pair.inside.run("verify", "reader", "in-items", "--source", "source", "--settled")
    assert figures.returncode == 0, figures.stdout


@pytest.mark.parametrize("pair", ["sqlite"], indirect=True)
def test_a_terminal_shows_how_far_a_rebuild_is(pair: ReplicaPair, process: Shell) -> None:
    pair.save(i1="a", i2="b", i3="c")
    pair.send()
    pair.follow(1, 2, 3)
    shown = process.shown("replica", "rebuild", pair.target("reader"), "in-items")
    percents = [int(each) for each in re.findall(r"messages .*?(\d+)%", shown)]
    assert percents[0] == 0
    assert percents[-1] == 100


def freshness(application: StreamApplication) -> tuple[float | None, list[int | None]]:
    """How many seconds behind, and the lags of the partitions."""
    (found,) = health(application).bindings
    return found.behind_s, [each.lag for each in found.freshness.values()]


def test_mistakes_are_told(pair: ReplicaPair) -> None:
    for arguments, told in [
        (("diff", "reader", "in-items"), "replicas stand in the code"),
        (("diff", pair.target("reader"), "in-other"), "has no such replica; replicas are: in-items (Shown)"),
        (("diff", pair.target("reader"), "in-items", "--source", "source"), "name module:attribute"),
    ]:
        result = pair.inside.run("replica", *arguments)
        assert result.returncode == 1
        assert told in result.stderr


@pytest.mark.parametrize("pair", ["sqlite"], indirect=True)
def test_a_rebuild_that_does_not_swap_says_what_it_keeps(pair: ReplicaPair) -> None:
    pair.save(i1="a")
    pair.send()
    pair.follow(1)
    command = ("replica", "rebuild", pair.target("reader"), "in-items")
    assert "the new table is kept" in pair.inside.run(*command, "--dry-run").stdout
    assert pair.inside.run(*command, "--abandon").stdout == "dropped the new table\n"


@pytest.mark.parametrize("pair", ["sqlite"], indirect=True)
def test_interrupted_they_say_how_to_go_on(pair: ReplicaPair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.save(i1="a")
    pair.send()
    pair.follow(1)
    pair.by_hand("UPDATE shown SET name = 'x'")

    def interrupted(*_: object) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Fold, "catch_up", interrupted)
        rebuilt = pair.inside.run("replica", "rebuild", pair.target("reader"), "in-items")
    with monkeypatch.context() as patch:
        patch.setattr(Source, "send", interrupted)
        source = ("--source", pair.target("source"))
        mended = pair.inside.run("replica", "repair", pair.target("reader"), "in-items", *source)
    assert (rebuilt.returncode, mended.returncode) == (130, 130)
    assert rebuilt.stderr == (
        "it ended in the middle; the same command goes on, --restart begins anew, --abandon drops the new table\n"
    )
    assert mended.stderr == ("it ended in the middle; the same command mends what is left\n")


def test_a_table_that_is_missing_is_named(pair: ReplicaPair) -> None:
    source = ("--source", pair.target("source"))
    pair.by_hand("DROP TABLE shown")
    for command in (("diff",), ("diff", *source), ("repair", *source), ("rebuild",)):
        result = pair.inside.run("replica", command[0], pair.target("reader"), "in-items", *command[1:])
        assert result.returncode == 1
        assert "the table shown of Shown is not in " in result.stderr


def test_a_column_that_is_missing_is_named(pair: ReplicaPair) -> None:
    pair.by_hand("ALTER TABLE shown RENAME COLUMN name TO called")
    for command in ("diff", "rebuild"):
        result = pair.inside.run("replica", command, pair.target("reader"), "in-items")
        assert result.returncode == 1
        assert "the table shown of Shown has no column name: " in result.stderr
