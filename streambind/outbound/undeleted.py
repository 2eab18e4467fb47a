"""Rows that were sent but are still there when they should be gone: once is a lease that was lost, twice a defect
of the database's set-up."""

from __future__ import annotations

from collections.abc import Sequence

from streambind.back_off import BackOff
from streambind.outbound.wire_message import OutboxRow


class Undeleted:
    """What the relay has delivered and could not delete. Used by the relay's thread only."""

    def __init__(self) -> None:
        self._ids: frozenset[int] = frozenset()
        self._back_off = BackOff()

    def note(self, rows: Sequence[OutboxRow]) -> list[OutboxRow]:
        """Some of these delivered rows could not be deleted; returns those that were among such before."""
        again = [row for row in rows if row.id in self._ids]
        self._ids = frozenset(row.id for row in rows)
        return again

    def deleted(self, rows: Sequence[OutboxRow]) -> None:
        """All of these are gone."""
        if self._ids:
            self._ids -= {row.id for row in rows}
            if not self._ids:
                self._back_off.succeed()

    def pause_s(self) -> float:
        """How long to leave their destinations alone; longer every time."""
        return self._back_off.fail()


def complaint(rows: Sequence[OutboxRow]) -> str:
    """For people: which row it is, and where to look."""
    return (
        f"row {rows[0].id} of the outbox (binding {rows[0].binding}, key {rows[0].key!r}) has been sent and "
        f"cannot be deleted, so it is sent again ({len(rows)} rows). Does a trigger or a policy of the database "
        "keep them?"
    )
