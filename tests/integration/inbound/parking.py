"""Looks at parked keys, and tries them again turn by turn, without the worker's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.orm import Session

from streambind.configuration.properties import ParkingProperties
from streambind.inbound.input import InputPlan
from tests.integration.inbound.service import DESTINATION, Effect, Event, Service, event, keep
from tests.unit.inbound.batches import ListBatch, Record, numbered, record

SOON: dict[str, Any] = {"back_off_initial_interval_ms": 0}
"""Parked keys are due at once."""


class Poison:
    """A handler that fails at some events, after its effects, until it is fixed."""

    def __init__(self, *events: tuple[str, int], error: Callable[[], Exception] | None = None) -> None:
        self.events = set(events)
        self.tried: list[tuple[str, int]] = []
        self._error = error or (lambda: ValueError("poison"))

    def __call__(self, event: Event, session: Session) -> None:
        self.tried.append((event.key, event.number))
        keep(event, session)
        session.flush()
        if (event.key, event.number) in self.events:
            raise self._error()

    def fix(self) -> None:
        self.events.clear()


def parking(service: Service, handler: Callable[..., Any] = keep, **settings: Any) -> InputPlan:
    """The ordinary input, parking what fails at the first try."""
    return service.plan(service.listener(handler), **parking_settings(**settings))


def parking_settings(**settings: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"on_error": "park", "max_attempts": 1} | settings
    return given | {"parking": ParkingProperties(**(SOON | given.get("parking", {})))}


def turns(plan: InputPlan, *, at_most: int = 200) -> int:
    """Try until no key is due; returns how many turns found one."""
    assert plan.worker is not None
    for turn in range(at_most):
        if not plan.worker.retry.turn().claimed:
            return turn
    raise AssertionError(f"after {at_most} turns keys are still due")


def turn(plan: InputPlan) -> bool:
    """Try once; whether a key was due."""
    assert plan.worker is not None
    return plan.worker.retry.turn().claimed


def parked_keys(service: Service) -> dict[bytes, tuple[str, int, int]]:
    """State, attempts and number of messages of each parked key."""
    table = service.database.tables.parked_key

    def work(connection: Connection) -> dict[bytes, tuple[str, int, int]]:
        rows = connection.execute(select(table))
        return {row.key: (row.state, row.attempts, row.messages) for row in rows}

    return service.database.run(work)


def parked_key(service: Service, key: bytes = b"k") -> Any:
    """The whole row of one key."""
    table = service.database.tables.parked_key
    return service.database.run(lambda c: c.execute(select(table).where(table.c.key == key)).one())


def parked_messages(service: Service) -> list[Any]:
    table = service.database.tables.parked
    return service.database.run(lambda c: list(c.execute(select(table).order_by(table.c.id))))


def parked_offsets(service: Service) -> list[tuple[int, int]]:
    return [(row.partition, row.offset) for row in parked_messages(service)]


def set_key(service: Service, **values: Any) -> None:
    """Change the rows of all parked keys."""
    service.database.run(lambda c: c.execute(update(service.database.tables.parked_key).values(**values)))


def steal_messages(service: Service) -> None:
    """Delete what waits, and leave the keys."""
    service.database.run(lambda c: c.execute(delete(service.database.tables.parked)))


def of_key(key: str, *numbers: int) -> list[Record]:
    return [numbered(event(key, n), key, n) for n in numbers]


def plain(key: str, *numbers: int) -> list[Record]:
    """Without a source's numbers: nothing but the order of the log."""
    return [record(event(key, n), key) for n in numbers]


def batch(*records: Record, start: int = 0, partition: int = 0) -> ListBatch:
    return ListBatch(list(records), start, DESTINATION, partition)


__all__ = [
    "Effect",
    "Poison",
    "batch",
    "of_key",
    "parked_key",
    "parked_keys",
    "parked_messages",
    "parked_offsets",
    "parking",
    "parking_settings",
    "plain",
    "set_key",
    "steal_messages",
    "turn",
    "turns",
]
