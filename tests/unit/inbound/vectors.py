"""Records that real Spring services wrote (`tests/data/spring`), as messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from streambind.inbound.letter import read_letter
from streambind.message import Message

_VECTORS = Path(__file__).parents[2] / "data" / "spring"


def records(name: str) -> list[Message]:
    return [_message(record) for record in json.loads((_VECTORS / f"{name}.json").read_text())]


def letters_and_sources(*files: str) -> list[tuple[Message, Message]]:
    """Every record of the files that Spring dead-lettered, and the dead letter that it wrote."""
    pairs = []
    for name in files:
        messages = records(name)
        sources = {(m.destination, m.partition, m.offset): m for m in messages}
        for record in messages:
            came = read_letter(record).message
            if came.destination is not None:
                pairs.append((sources[came.destination, came.partition, came.offset], record))
    assert pairs, files
    return pairs


def _bytes(part: dict[str, str] | None) -> bytes | None:
    return None if part is None else bytes.fromhex(part["hex"])


def _message(record: dict[str, Any]) -> Message:
    return Message(
        _bytes(record["value"]),
        _bytes(record["key"]),
        raw_headers=[(header["name"], _bytes(header)) for header in record["headers"]],
        destination=record["topic"],
        partition=record["partition"],
        offset=record["offset"],
        timestamp_ms=record["timestamp"],
    )
