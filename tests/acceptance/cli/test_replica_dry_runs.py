"""What `streambind replica repair` says that it would do. It asks no broker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, insert

from tests.acceptance.cli.conftest import Inside
from tests.acceptance.cli.pair import Item
from tests.acceptance.cli.replica_pair import ReplicaPair

TOPIC = "items-of-dry-runs"


@pytest.fixture
def pair(inside: Inside, tmp_path: Path) -> ReplicaPair:
    """A source of two rows, of which the replica has one, and one too many."""
    source, reader = (f"sqlite:///{tmp_path / name}.db" for name in ("source", "reader"))
    it = ReplicaPair(inside, "localhost:1", TOPIC, source, reader)
    it.write()
    engine = create_engine(it.source_url)
    with engine.begin() as connection:
        connection.execute(insert(Item), [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}])
    engine.dispose()
    it.by_hand("INSERT INTO shown (id, name) VALUES (1, 'a'), (9, 'nobody')")
    return it


def asked(pair: ReplicaPair, command: str, *options: str) -> tuple[int, str, dict[str, Any]]:
    """Exit code, the last line for people, and the document for machines, of two calls."""
    arguments = ("replica", command, pair.target("reader"), "in-items", *options)
    told, document = pair.inside.run(*arguments), pair.inside.run(*arguments, "--json")
    assert told.returncode == document.returncode, told.stderr + document.stderr
    return told.returncode, told.stdout.splitlines()[-1], json.loads(document.stdout)


def test_a_repair_says_what_it_would_do(pair: ReplicaPair) -> None:
    source = ("--source", pair.target("source"))
    code, line, document = asked(pair, "repair", *source, "--dry-run", "--force")
    assert (code, line) == (1, "would be: 1 row sent again, 1 row deleted")
    assert (document["to_send"], document["to_remove"], document["sent"], document["removed"]) == (1, 1, 0, 0)
    code, line, document = asked(pair, "repair", *source, "--dry-run", "--keep-extra")
    assert (code, line) == (1, "1 row that the source does not have: kept (--keep-extra)")
    assert (document["to_send"], document["to_remove"], document["kept"]) == (1, 0, 1)
    assert pair.shown() == {1: "a", 9: "nobody"}
