"""What messages say of a replica's rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streambind.inbound.arrival import Arrival
from streambind.inbound.failure import MessageFailed
from streambind.inbound.replica_plan import ReplicaPlan, Row


class ReplicaEvents:
    """Reads messages: `decode` makes an event of one that has a payload."""

    def __init__(self, plan: ReplicaPlan, decode: Callable[[Arrival], Any]) -> None:
        self._plan = plan
        self._decode = decode

    def read(self, arrival: Arrival) -> tuple[Row, Row | None]:
        """A row's key, and the row; None for the row if it is deleted.

        Raises:
            MessageFailed: the message cannot be read, whoever says so.
        """
        plan = self._plan
        try:
            if arrival.batch.payload(arrival.index) is None:
                return plan.key_of_message(arrival.batch.key(arrival.index)), None
            event = self._decode(arrival)
            if plan.is_delete(event):
                return plan.key_of(event), None
            row = plan.row_of(event)
        except Exception as error:
            raise MessageFailed(arrival.index, error) from error
        return row[: len(plan.key)], row
