"""A relay in a process of its own: `python -m tests.integration.relay.relay_process URL LOG [option=number ...]`.

Its broker is the file LOG: each message is one line `key seq`, there once the write has returned. The process
ends by itself when the outbox is empty, or as a failpoint (STREAMBIND_FAILPOINTS) or `die_after` has it: killed in
the middle of a batch after that many messages. With `hold_at` it stands in the middle of a batch after that many,
until somebody opens the named pipe LOG.gate to write. With `mutant=1` it deletes rows when it reads them.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.configuration.properties import OutboxProperties
from streambind.event_loop import EventLoop
from streambind.message import ORIGIN, Message
from streambind.origin import Origin
from streambind.outbound.relay import Relay
from streambind.outbound.relay_rows import OutboxRows
from streambind.outbound.wire_message import OutboxRow
from streambind.persistence.database import Database
from streambind.testing.eventually import eventually
from tests.integration.relay.commits import backlog

EMPTY_WITHIN_S = 60.0
OPTIONS = {"batch_size": 20, "lease_ms": 1000, "die_after": 0, "hold_at": 0, "mutant": 0, "stay": 0}


class FileProducer:
    """Appends to a file. The broker says nothing of message number `hold_at` before its gate opens."""

    def __init__(self, path: str, *, die_after: int = 0, hold_at: int = 0) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._die_after = die_after
        self._hold_at = hold_at
        self._count = 0

    def send(self, messages: Sequence[Message]) -> list[Sent | Failed | Unknown]:
        for message in messages:
            origin = Origin.parse(str(message.headers[ORIGIN]))
            assert origin is not None
            os.write(self._file, b"%s %d\n" % (message.key, origin.seq))
            self._count += 1
            if self._count == self._die_after:
                os.kill(os.getpid(), signal.SIGKILL)
            if self._count == self._hold_at:
                os.close(os.open(f"{self._path}.gate", os.O_RDONLY))
        return [Sent(0, 0) for _ in messages]

    def max_payload_bytes(self) -> int | None:
        return None

    def purge(self) -> None:
        """Nothing waits here."""

    def unbind(self, timeout_ms: int) -> None:
        os.close(self._file)


def _delete_when_read() -> None:
    """The mutant: what is read is deleted in the same transaction, before it is sent."""
    read = OutboxRows.read

    def read_and_delete(self: OutboxRows, connection: Connection, *given: Any, **options: Any) -> list[OutboxRow]:
        rows = read(self, connection, *given, **options)
        if rows:
            connection.execute(self._delete_ids, {"ids": [row.id for row in rows]})
        return rows

    OutboxRows.read = read_and_delete  # type: ignore[method-assign]


def main() -> None:
    url, log, *rest = sys.argv[1:]
    options = {**OPTIONS, **{name: int(value) for name, _, value in (o.partition("=") for o in rest)}}
    if options["mutant"]:
        _delete_when_read()
    database = Database.from_url(url, loop=EventLoop())
    producer = FileProducer(log, die_after=options["die_after"], hold_at=options["hold_at"])
    properties = OutboxProperties(
        batch_size=options["batch_size"], lease_ms=options["lease_ms"], poll_interval_ms=50
    )
    relay = Relay(database, lambda _: producer, properties, f"relay-{os.getpid()}-{time.time_ns()}")
    relay.start()
    while options["stay"]:
        signal.pause()
    eventually(lambda: backlog(database) == 0, EMPTY_WITHIN_S, "the outbox is not empty")
    relay.stop(5000)


if __name__ == "__main__":
    main()
