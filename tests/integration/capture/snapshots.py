"""Snapshots of seats, and what a read model makes of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from streambind.event import JobType
from streambind.outbound.publish import suppress_events
from streambind.outbound.snapshot import Snapshot
from tests.integration.capture.conftest import Service
from tests.integration.capture.models import Seat


def finish(taken: Snapshot, job: JobType = JobType.UPDATE) -> None:
    begun = taken.begin(job)
    for _ in range(1000):
        step = taken.step(begun.snapshot)
        assert step.waits is None, step
        if step.done:
            return
    raise AssertionError("it has no end")


def seats(number: int, room: str = "a") -> list[Seat]:
    return [Seat(room=room, number=each, guest=f"guest {each}") for each in range(1, number + 1)]


def silently(service: Service, *entities: Any) -> None:
    """Rows that no event has told of."""

    def add(session: Session) -> None:
        with suppress_events(session):
            session.add_all(entities)
            session.flush()

    service.commit(add)


def folded(service: Service) -> dict[Any, Any]:
    """What a read model is that begins with the snapshot; the numbers of a key must be without a hole."""
    state: dict[Any, Any] = {}
    numbers: dict[str | None, int] = {}
    for event in service.events:
        if event.binding != "out-seatChanged":
            continue
        assert event.seq == numbers.get(event.key, 0) + 1
        numbers[event.key] = event.seq
        place = event.json["room"], event.json["number"]
        if event.json["jobType"] == "DELETE":
            state.pop(place, None)
        else:
            state[place] = event.json["guest"]
    return state


def rows(service: Service) -> dict[Any, Any]:
    columns = Seat.__table__.c
    found = service.connected(lambda c: c.execute(select(columns.room, columns.number, columns.guest)).all())
    return {(room, number): guest for room, number, guest in found}
