"""A service that only writes, in the test's process, and the configuration for its relays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from streambind import StreamApplication, publish
from streambind.message import ORIGIN, Message
from streambind.origin import Origin
from streambind.outbound.outbox_status import OutboxStatus, outbox_status
from streambind.persistence.database import Database

CONFIGURATION = """\
spring:
  cloud:
    stream:
      kafka.binder.brokers: ${KAFKA_BROKERS}
      bindings:
        in-other: {destination: other, group: g}
        out-a: {destination: "${TOPIC}"}
streambind:
  datasource.url: ${DATABASE_URL}
  outbox: {relay: false, lease: 1s}
"""


class Writer:
    """The service that only writes, in this process: its own relay is off."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        text = CONFIGURATION
        for name, value in settings.items():
            text = text.replace("${" + name + "}", value)
        (folder / "writer.yaml").write_text(text)
        self.stream = StreamApplication(folder / "writer.yaml", arguments=[])

    def commit(self, keys: Iterable[int]) -> None:
        """One transaction for each key."""
        for key in keys:
            with self.stream.sessions.begin() as session:
                publish(session, "out-a", {"key": key}, key=str(key))

    @property
    def database(self) -> Database:
        assert self.stream.database is not None
        return self.stream.database

    def status(self) -> OutboxStatus:
        return outbox_status(self.database)

    def shards(self) -> list[int]:
        """How many shards each relay has, of those whose lease runs."""
        leases = self.status().leases
        return sorted(Counter(lease.owner for lease in leases if lease.owner and lease.expires_in_ms > 0).values())


def sequences(messages: Iterable[Message]) -> dict[bytes | None, list[int]]:
    found: dict[bytes | None, list[int]] = {}
    for message in messages:
        origin = Origin.parse(str(message.headers[ORIGIN]))
        assert origin is not None
        found.setdefault(message.key, []).append(origin.seq)
    return found
