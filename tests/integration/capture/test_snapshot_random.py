"""A read model that begins with a snapshot is the source in the end, whatever is written meanwhile."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, update
from sqlalchemy.exc import DBAPIError, SAWarning
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from streambind.event import JobType
from streambind.outbound.snapshot import Snapshot
from tests.integration.capture.conftest import SYNC_ENGINES, Service, engine_service, reset
from tests.integration.capture.models import Seat
from tests.integration.capture.snapshots import finish, folded, rows, silently

rooms = st.sampled_from(["a", "b", "c"])
numbers = st.integers(1, 4)
places = st.tuples(rooms, numbers)
guests = st.sampled_from([None, "x", "y", "z"])
writes = st.one_of(
    st.tuples(st.just("put"), places, guests),
    st.tuples(st.just("remove"), places),
    st.tuples(st.just("move"), places, places),
    st.tuples(st.just("fill"), rooms, guests),
    st.tuples(st.just("clear"), rooms),
)
transactions = st.tuples(
    st.sampled_from(["commit", "commit", "rollback"]), st.lists(writes, min_size=1, max_size=4)
)
scripts = st.lists(st.just("step") | transactions, max_size=30)


def write(session: Session, operation: tuple[Any, ...]) -> None:
    match operation:
        case "put", place, guest:
            session.merge(Seat(room=place[0], number=place[1], guest=guest))
        case "remove", place:
            if (seat := session.get(Seat, place)) is not None:
                session.delete(seat)
        case "move", place, to:
            # As it is now: an event tells of an entity what the session holds, which may be old.
            seat = session.get(Seat, place, populate_existing=True, with_for_update=True)
            if seat is not None and session.get(Seat, to) is None:
                seat.room, seat.number = to
        case "fill", room, guest:
            session.execute(update(Seat).where(Seat.room == room).values(guest=guest))
        case "clear", room:
            session.execute(delete(Seat).where(Seat.room == room))
    session.flush()


@pytest.fixture(scope="module", params=SYNC_ENGINES)
def any_sync_service(request: pytest.FixtureRequest) -> Iterator[Service]:
    yield from engine_service(request)


def _play(service: Service, before: dict[tuple[str, int], Any], chunk: int, script: list[Any]) -> None:
    reset(service)
    silently(service, *(Seat(room=room, number=number, guest=guest) for (room, number), guest in before.items()))
    taken = Snapshot(service.database, "out-seatChanged", chunk=chunk)
    snapshot = taken.begin(JobType.UPDATE).snapshot
    is_done = False
    for part in script:
        if part == "step":
            is_done = is_done or taken.step(snapshot).done
            continue
        outcome, operations = part
        with service.database.sessions() as session:
            for operation in operations:
                write(session, operation)
            session.commit() if outcome == "commit" else session.rollback()
    if not is_done:
        finish(taken)
    assert folded(service) == rows(service)


_ANY = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
_before = st.dictionaries(places, guests, max_size=12)


@pytest.mark.parametrize("any_sync_service", ["sqlite"], indirect=True)
@settings(max_examples=100, suppress_health_check=_ANY, database=None)
@given(before=_before, chunk=st.integers(1, 5), script=scripts)
def test_it_is_the_source_in_the_end(
    any_sync_service: Service, before: dict[tuple[str, int], Any], chunk: int, script: list[Any]
) -> None:
    _play(any_sync_service, before, chunk, script)


@settings(max_examples=15, suppress_health_check=_ANY, database=None)
@given(before=_before, chunk=st.integers(1, 5), script=scripts)
def test_it_is_the_source_in_the_end_on_every_database(
    any_sync_service: Service, before: dict[tuple[str, int], Any], chunk: int, script: list[Any]
) -> None:
    _play(any_sync_service, before, chunk, script)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_is_the_source_in_the_end_while_writers_write_at_the_same_time(
    any_sync_service: Service, seed: int
) -> None:
    """Three writers, who also end in each other's way, and two who take the snapshot."""
    _take_while_writers_write(any_sync_service, seed)


@pytest.mark.parametrize("any_sync_service", SYNC_ENGINES[1:2], indirect=True)
def test_a_snapshot_that_does_not_lock_its_rows_is_rejected(
    any_sync_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mutant: what it reads may be old when its turn comes in the order of the key."""
    monkeypatch.setattr(type(any_sync_service.database.dialect), "rewritten", lambda _, query, __: query)
    with pytest.raises(AssertionError):
        _take_often(any_sync_service)


def _take_often(service: Service) -> None:
    for seed in range(10, 30):
        _take_while_writers_write(service, seed)


def _take_while_writers_write(service: Service, seed: int) -> None:
    reset(service)
    silently(service, *(Seat(room=room, number=number) for room in "abcdefgh" for number in range(1, 9)))
    over = threading.Event()
    errors: list[Exception] = []

    def write_on(number: int) -> None:
        dice, count = random.Random(seed * 100 + number), 0
        while count < 20 or (count < 200 and not over.is_set()):
            count += 1
            with service.database.sessions() as session:
                try:
                    for _ in range(dice.randint(1, 3)):
                        write(session, _operation(dice))
                    session.commit() if dice.random() < 0.8 else session.rollback()
                except (DBAPIError, StaleDataError, SAWarning):  # Writers in each other's way.
                    session.rollback()
                except Exception as error:  # noqa: BLE001 - asserted below
                    errors.append(error)
                    session.rollback()

    def take() -> None:
        try:
            taken = Snapshot(service.database, "out-seatChanged", chunk=4)
            snapshot = taken.begin(JobType.UPDATE).snapshot
            while not (step := taken.step(snapshot)).done:
                assert "outbox" not in (step.waits or ""), "too many messages wait, and nobody relays them here"
        except Exception as error:  # noqa: BLE001 - asserted below
            errors.append(error)

    writers = [threading.Thread(target=write_on, args=(number,), daemon=True) for number in range(3)]
    first = Snapshot(service.database, "out-seatChanged", chunk=1)
    first.begin(JobType.UPDATE)
    takers = [threading.Thread(target=take, daemon=True) for _ in range(2)]
    for thread in [*writers, *takers]:
        thread.start()
    for thread in takers:
        thread.join(120)
    over.set()
    for thread in writers:
        thread.join(120)
    assert not any(thread.is_alive() for thread in [*writers, *takers])
    assert errors == []
    assert folded(service) == rows(service)
    assert sum("sb-snapshot" in event.headers for event in service.events) > 0


def _operation(dice: random.Random) -> tuple[Any, ...]:
    def place() -> tuple[str, int]:
        return dice.choice("abcdefgh"), dice.randint(1, 8)

    guest = dice.choice([None, "x", "y", "z"])
    match dice.choice(["put", "put", "remove", "move", "fill"]):
        case "put":
            return "put", place(), guest
        case "remove":
            return "remove", place()
        case "move":
            return "move", place(), place()
        case _:
            return "fill", dice.choice("abcdefgh"), guest
