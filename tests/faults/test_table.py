"""The table of faults names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("README.md").read_text(encoding="utf-8")


def test_every_fault_has_a_row_with_tests() -> None:
    rows = re.findall(r"^\| (\d+) \|.*`(?:tests/[\w/]+\.py|capture|relay)", TABLE, re.MULTILINE)
    assert [int(number) for number in rows] == list(range(1, 26))


def test_every_file_and_test_that_is_named_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", TABLE)
    assert len(named) > 40
    assert [file for file, _ in named if not (REPOSITORY / file).is_file()] == []
    missing = [
        f"{file}::{test}" for file, test in named if test and f"def {test}(" not in (REPOSITORY / file).read_text()
    ]
    assert missing == []
