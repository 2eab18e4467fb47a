from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from streambind.configuration.reference import Row, reference, table
from tests.unit.configuration.fake_binder import MODELS

DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.md"
BEGIN, END = "<!-- reference -->\n", "<!-- end of reference -->"


def test_the_table_in_the_documentation_is_the_generated_one() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    written = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert written == table(reference([])).strip(), (
        "copy the core's rows of `python -m streambind.configuration.reference`"
    )


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


def test_everything_that_works_is_described() -> None:
    assert [row.key for row in reference([]) if not row.description] == []


def test_the_reference_is_printed() -> None:
    command = [sys.executable, "-m", "streambind.configuration.reference"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert table(reference([])).strip() in printed
    assert printed.startswith("| Property |")
