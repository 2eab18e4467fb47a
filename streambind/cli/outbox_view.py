"""What waits in an outbox, for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from streambind.cli.output import age, count, line, table
from streambind.cli.target import Target, ask_database
from streambind.outbound.lease import ranges
from streambind.outbound.outbox_status import MOST_COUNTED, BlockedKey, OutboxStatus, ShardLease, outbox_status
from streambind.visible import visible

NO_KEY = "(no key)"
EMPTY_KEY = "(empty key)"


def ask_outbox(target: Target) -> OutboxStatus:
    """
    Raises:
        ConfigurationError: the target has no database.
        DatabaseUnavailableError: it does not answer.
        SchemaError: streambind's tables are missing.
    """
    database = target.database()
    return ask_database(database, lambda: outbox_status(database))


def key_text(key: bytes | None) -> str:
    """A blocked key as it is shown, and as it is named to `streambind outbox unblock`."""
    if key is None:
        return NO_KEY
    return visible(key) if key else EMPTY_KEY


def owners(status: OutboxStatus) -> dict[str, list[ShardLease]]:
    """The shards with a valid lease, by who relays them."""
    found: dict[str, list[ShardLease]] = {}
    for lease in status.leases:
        if lease.owner is not None and lease.expires_in_ms > 0:
            found.setdefault(lease.owner, []).append(lease)
    return found


def outbox_lines(status: OutboxStatus) -> list[RenderableType]:
    """Backlog, who relays, and the blocked keys with their reasons."""
    oldest = "" if status.oldest_ms is None else f", the oldest {age(status.oldest_ms)} old"
    least = "at least " if status.backlog >= MOST_COUNTED else ""
    found: list[RenderableType] = [line("backlog  {}{}{}", least, count(status.backlog, "message"), oldest)]
    leases = owners(status)
    for owner, held in leases.items():
        ends = age(min(lease.expires_in_ms for lease in held))
        shards = ranges([lease.shard for lease in held])
        found.append(line("relay    {} has shards {}, lease ends in {}", owner, shards, ends))
    if not leases:
        found.append(line("relay    nobody relays"))
    found.append(line("blocked  {}", count(len(status.blocked), "key")))
    if status.blocked:
        found += [Text(), blocked_table(status.blocked)]
    return found


def blocked_table(blocked: Sequence[BlockedKey]) -> RenderableType:
    """Blocked keys, for how long, and why."""
    rows = [(b.destination, key_text(b.key), age(b.for_ms), b.reason) for b in blocked]
    return table(("destination", "key", "blocked for", "reason"), rows)


def outbox_document(status: OutboxStatus) -> dict[str, Any]:
    return {
        "backlog": status.backlog,
        "oldest_age_ms": status.oldest_ms,
        "blocked": [blocked_document(blocked) for blocked in status.blocked],
        "leases": [
            {"shard": lease.shard, "owner": lease.owner, "expires_in_ms": lease.expires_in_ms}
            for lease in status.leases
        ],
    }


def blocked_document(blocked: BlockedKey) -> dict[str, Any]:
    return {
        "destination": blocked.destination,
        "key": None if blocked.key is None else blocked.key.decode(errors="backslashreplace"),
        "row_id": blocked.row_id or None,
        "reason": blocked.reason,
        "for_ms": blocked.for_ms,
    }
