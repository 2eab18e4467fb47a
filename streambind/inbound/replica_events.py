"""What messages say of a replica's rows."""

from __future__ import annotations

from collections.abc import Sequence

from streambind.inbound.arrival import Arrival
from streambind.inbound.decoding import PayloadDecoder
from streambind.inbound.failure import MessageFailed
from streambind.inbound.replica_plan import ReplicaPlan, Row
from streambind.message import Batch

Said = tuple[Row, Row | None]
"""A row's key, and the row; None for the row if it is deleted."""


class ReplicaEvents:
    """Reads messages. `shared`: other listeners may ask for the same events."""

    def __init__(self, plan: ReplicaPlan, decoder: PayloadDecoder, *, shared: bool) -> None:
        self._plan = plan
        self._decode = decoder.decode_once if shared else decoder.decode
        self._quick = decoder.quick if decoder.is_plain and not shared else None
        self.limits = decoder.limits

    def read(self, arrival: Arrival) -> Said:
        """
        Raises:
            MessageFailed: the message cannot be read, whoever says so.
        """
        plan = self._plan
        try:
            if arrival.batch.payload(arrival.index) is None:
                return plan.key_of_message(arrival.batch.key(arrival.index)), None
            event = self._decode(arrival)
            if plan.removes(event):
                return plan.key_of(event), None
            row = plan.row_of(event)
        except Exception as error:
            raise MessageFailed(arrival.index, error) from error
        return row[: len(plan.key)], row

    def read_all(self, arrivals: Sequence[Arrival]) -> list[Said]:
        """As `read`, for each of many messages of a batch, at least one."""
        try:
            said = self.read_quickly(arrivals[0].batch, [arrival.index for arrival in arrivals])
        except Exception:  # noqa: BLE001 -- reading has no effects: doing it again tells whose the failure is.
            said = None
        return [self.read(arrival) for arrival in arrivals] if said is None else said

    @property
    def is_quick(self) -> bool:
        """Whether messages can be read without an `Arrival` of each."""
        return self._quick is not None

    def read_quickly(self, batch: Batch, indexes: Sequence[int]) -> list[Said] | None:
        """As `read` says of these messages. None, or whatever is raised: they need a closer look."""
        decode, plan, width = self._quick, self._plan, len(self._plan.key)
        if decode is None:
            return None
        is_whole = len(indexes) == len(batch)
        payloads = batch.payloads() if is_whole else [batch.payload(index) for index in indexes]
        if self.limits.are_exceeded(payloads):
            return None
        removes, key_of, row_of = plan.removes, plan.key_of, plan.row_of
        said: list[Said] = []
        for index, payload in zip(indexes, payloads, strict=True):
            if payload is None:
                said.append((plan.key_of_message(batch.key(index)), None))
            elif removes(event := decode(payload)):
                said.append((key_of(event), None))
            else:
                row = row_of(event)
                said.append((row[:width], row))
        return said
