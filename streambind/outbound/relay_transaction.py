"""What every transaction of a relay begins with."""

from __future__ import annotations

from sqlalchemy import Connection

_SETTINGS = (
    "SELECT set_config('idle_in_transaction_session_timeout', '{idle_limit_ms}', true),"
    " set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true)"
)


def begin(connection: Connection, idle_limit_ms: int) -> None:
    """On PostgreSQL, settings for this transaction alone.

    The idle limit ends it if the process stands still in it (stopped, or its host gone): its row locks would
    hold up every other relay. The others make the planner walk along the ids: it plans for the outbox as it
    last saw it, mostly empty, and keeps plans of prepared statements; a sudden backlog would be sorted as a
    whole for every read.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_SETTINGS.format(idle_limit_ms=int(idle_limit_ms)))
