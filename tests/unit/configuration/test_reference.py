from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streambind.binders.kafka import KAFKA
from streambind.binding.binder_type import BinderType
from streambind.configuration.reference import Row, reference, table
from tests.unit.configuration.fake_binder import MODELS

DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.md"


def written(part: str) -> str:
    text = DOCUMENT.read_text(encoding="utf-8")
    return text.partition(f"<!-- {part} -->\n")[2].partition(f"<!-- end of {part} -->")[0].strip()


def test_the_table_in_the_documentation_is_the_generated_one() -> None:
    rows = table(reference([])).strip()
    assert written("reference") == rows, "copy the core's rows of `python -m streambind.configuration.reference`"


def test_so_is_that_of_the_kafka_binder() -> None:
    rows = [row for row in reference([KAFKA]) if row.key.startswith("kafka.")]
    assert written("kafka") == table(rows).strip(), "copy the rows of kafka.*"


def test_rows_hold_name_type_default_and_description() -> None:
    rows = {row.key: row for row in reference(MODELS.values())}
    assert rows["bindings.<name>.consumer.maxAttempts"] == Row(
        "bindings.<name>.consumer.maxAttempts", "number, from 1", "3", "tries of a message, the first included"
    )
    assert rows["outbox.pollInterval"].type == "duration (ms)"
    assert rows["bindings.<name>.producer.publish"].type == "`outbox`, `after-commit`, `direct`"
    assert rows["bindings.<name>.producer.publish"].default == "outbox"
    assert rows["datasource.url"].type == "secret"
    assert rows["bindings.<name>.consumer.multiplex"].description.startswith("no effect: ")
    assert rows["function.*"].description.startswith("no effect: ")
    assert rows["kafka.binder.brokers"] == Row("kafka.binder.brokers", "list", "localhost", "")
    assert rows["kafka.binder.configuration.<key>"].type == "map"
    assert rows["kafka.bindings.<name>.consumer.enableDlq"].default == "false"
    assert "kafka.default.*" in rows
    assert "default.*" in rows
    assert "binders.<name>.environment.*" in rows


@pytest.mark.parametrize("models", [[], [KAFKA]])
def test_everything_that_works_is_described(models: list[BinderType]) -> None:
    assert [row.key for row in reference(models) if not row.description] == []


def test_the_reference_is_printed() -> None:
    command = [sys.executable, "-m", "streambind.configuration.reference"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert table(reference([])).strip() in printed
    assert printed.startswith("| Property |")
