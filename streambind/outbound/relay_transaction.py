"""What every transaction of a relay begins with."""

from __future__ import annotations

from sqlalchemy import Connection

from streambind.persistence.dialect import dialect_of


def begin(connection: Connection, idle_limit_ms: int) -> None:
    """On PostgreSQL, settings for this transaction alone.

    The idle limit ends it if the process stands still in it (stopped, or its host gone): its row locks would
    hold up every other relay. The others make the planner walk along the ids: it plans for the outbox as it
    last saw it, mostly empty, and keeps plans of prepared statements; a sudden backlog would be sorted as a
    whole for every read.
    """
    settings = {
        "idle_in_transaction_session_timeout": idle_limit_ms,
        "enable_seqscan": "off",
        "enable_sort": "off",
    }
    dialect_of(connection.dialect.name).set_local(connection, settings)
