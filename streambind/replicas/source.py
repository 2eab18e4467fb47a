"""The rows of a source as its events would tell of them, without sending any; and sending some of them again."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from streambind.errors import ConfigurationError
from streambind.event import JobType
from streambind.message import Message
from streambind.outbound.outgoing import Outgoing
from streambind.outbound.snapshot import gave_way, published_rows, send_again
from streambind.outbound.snapshot_rows import Key, SnapshotRows, key_text, read_key
from streambind.persistence.database import Database

CHUNK = 500
_TRIES = 50


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row and its event: `ref` leads back to the row."""

    ref: str
    message: Message


class Source:
    """What a service publishes to one of its outputs.

    Raises:
        ConfigurationError: nothing is published to it.
    """

    def __init__(self, database: Database, binding: str, destination: str) -> None:
        self.database = database
        self.destination = destination
        self.binding = binding
        self._rows: list[SnapshotRows] = database.run_session(lambda session, _: published_rows(session, binding))
        if not self._rows:
            raise ConfigurationError(f"no class is published to {binding}")

    def walk(self) -> Iterator[list[SourceRow]]:
        """All rows, chunk by chunk, as they are when their turn comes."""
        for number, rows in enumerate(self._rows):
            key: Key | None = None
            while True:
                keys, found = self._chunk(rows, number, key)
                yield found
                if len(keys) < CHUNK:
                    break
                key = keys[-1]

    def rows(self, refs: Sequence[str]) -> list[SourceRow]:
        """Those of these that are there."""

        def work(session: Session) -> list[SourceRow]:
            return [
                found
                for number, keys in _by_class(refs).items()
                for found in self._found(session, self._rows[number], number, keys)
            ]

        return self.database.run_session(lambda session, _: work(session))

    def refs(self, key: Key) -> list[str]:
        """Where rows with this primary key would be."""
        return [
            f"{number}:{key_text(key)}"
            for number, rows in enumerate(self._rows)
            if len(rows.mapper.primary_key) == len(key)
        ]

    def send(self, refs: Sequence[str]) -> int:
        """Send the rows again, as a snapshot would; returns how many events that were."""
        sent, repair = 0, uuid.uuid4()
        for number, keys in _by_class(refs).items():
            for start in range(0, len(keys), CHUNK // 5):
                some = keys[start : start + CHUNK // 5]
                sent += self._send(self._rows[number], some, repair)
        return sent

    def _send(self, rows: SnapshotRows, keys: Sequence[Key], repair: uuid.UUID) -> int:
        for left in reversed(range(_TRIES)):
            try:
                return self.database.run_session(
                    lambda session, _: send_again(self.database, session, rows, keys, JobType.UPDATE, repair)
                )
            except Exception as error:
                if not gave_way(error) or not left:
                    raise
            time.sleep(0.2)
        return 0

    def _chunk(self, rows: SnapshotRows, number: int, after: Key | None) -> tuple[list[Key], list[SourceRow]]:
        def work(session: Session) -> tuple[list[Key], list[SourceRow]]:
            keys = rows.after(session, after, limit=CHUNK)
            return keys, self._found(session, rows, number, keys)

        return self.database.run_session(lambda session, _: work(session))

    def _found(self, session: Session, rows: SnapshotRows, number: int, keys: Sequence[Key]) -> list[SourceRow]:
        return [
            SourceRow(f"{number}:{key_text(rows.key(entity))}", _message(outgoing))
            for entity in rows.of(session, None, keys)
            for outgoing in rows.messages([entity], JobType.UPDATE, None)
        ]


def _by_class(refs: Sequence[str]) -> dict[int, list[Key]]:
    found: dict[int, list[Key]] = {}
    for ref in refs:
        number, _, key = ref.partition(":")
        found.setdefault(int(number), []).append(read_key(key))
    return found


def _message(outgoing: Outgoing) -> Message:
    return Message(
        outgoing.payload,
        outgoing.key,
        raw_headers=outgoing.headers,
        destination=outgoing.destination,
        partition=0,
        offset=0,
        timestamp_ms=0,
    )
