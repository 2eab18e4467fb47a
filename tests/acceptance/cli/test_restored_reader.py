"""A reading service whose database is restored from a backup reads again from there, and needs no command."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.acceptance.cli.conftest import Inside
from tests.acceptance.cli.pair import Pair


def test_a_restored_reader_catches_up_by_itself(inside: Inside, kafka: str, topic: str, tmp_path: Path) -> None:
    live, backup = tmp_path / "reader.db", tmp_path / "backup.db"
    pair = Pair(inside, kafka, topic, f"sqlite:///{tmp_path / 'source.db'}", f"sqlite:///{live}")
    pair.write()
    pair.save(i1="first", i2="first")
    pair.send()
    pair.receive(i1="first", i2="first")
    shutil.copy(live, backup)
    pair.save(i1="second", i3="second")
    pair.send()
    pair.receive(i1="second", i2="first", i3="second")

    for path in tmp_path.glob("reader.db*"):
        path.unlink()
    shutil.copy(backup, live)
    assert pair.copies() == {1: "first", 2: "first"}
    pair.save(i2="third")
    pair.send()

    pair.receive(i1="second", i2="third", i3="second")
    verified = inside.run("verify", "reader", "in-items", "--source", "source", "--settled")
    assert verified.returncode == 0, verified.stdout
