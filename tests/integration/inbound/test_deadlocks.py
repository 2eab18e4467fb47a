"""Handlers that deadlock with others on MariaDB, which undoes the whole transaction for it and lets the connection
go on as if nothing had happened: effects and position stay together all the same."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Connection, create_engine, insert, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from streambind.binding.outcome import RetryAfter
from streambind.inbound.positions import DatabasePositions
from streambind.persistence.database import Database
from tests.integration.inbound.conftest import MakeDatabase
from tests.integration.inbound.parking import parked_keys, parking, set_key, turn
from tests.integration.inbound.service import Effect, Event, Handler, Service, Thing, drain, event, keep
from tests.integration.urls import drivers, through
from tests.unit.inbound.batches import ListBatch, numbered

WITHIN_S = 20.0


@pytest.fixture(params=drivers("mysql+pymysql", "mariadb+asyncmy", "mysql8+pymysql"))
def service(request: pytest.FixtureRequest, make_database: MakeDatabase) -> Service:
    made = Service(make_database(request.param))
    for number in (1, 2):
        made.insert(Thing, id=number, name=f"n{number}")
    return made


class Rival:
    """Changes things 2 and 1 in that order, and so much beside them that InnoDB would sooner undo anybody else's
    transaction."""

    def __init__(self, database: Database) -> None:
        url = through("mysql+pymysql", database.engine.url.render_as_string(hide_password=False))
        self._engine = create_engine(url, isolation_level="READ COMMITTED")
        self._holds_two, self._go_on = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()
        assert self._holds_two.wait(WITHIN_S)

    def go_on(self) -> None:
        """Reach out for thing 1."""
        self._go_on.set()

    def end(self) -> None:
        self._go_on.set()
        self._thread.join(WITHIN_S)
        self._engine.dispose()
        assert not self._thread.is_alive()

    def _work(self) -> None:
        with self._engine.begin() as connection:
            connection.execute(insert(Effect), [{"key": "rival", "number": n} for n in range(200)])
            connection.execute(update(Thing).where(Thing.id == 2).values(name="rival 2"))
            self._holds_two.set()
            assert self._go_on.wait(WITHIN_S)
            connection.execute(update(Thing).where(Thing.id == 1).values(name="rival 1"))


class Deadlocking:
    """A handler that keeps each event, and deadlocks in a savepoint at number 2, as often as there are rivals;
    what it hears of it, it `swallows` or not."""

    def __init__(self, database: Database, *, times: int, swallows: bool) -> None:
        self._database = database
        self._swallows = swallows
        self.times = times
        self.heard: list[str] = []

    def __call__(self, event: Event, session: Session) -> None:
        keep(event, session)
        session.flush()
        if event.number != 2 or self.times == 0:
            return
        self.times -= 1
        rival = Rival(self._database)
        try:
            with session.begin_nested():
                session.execute(update(Thing).where(Thing.id == 1).values(name="handler 1"))
                rival.go_on()
                session.execute(update(Thing).where(Thing.id == 2).values(name="handler 2"))
        except DBAPIError as error:
            self.heard.append(str(error.orig))
            if not self._swallows:
                raise
        finally:
            rival.end()


def things(*numbers: int) -> ListBatch:
    return ListBatch([numbered(event("k", n), "k", n) for n in numbers])


def effects(service: Service) -> list[tuple[str, int]]:
    return [each for each in service.effects() if each[0] != "rival"]


@pytest.mark.parametrize("swallows", [False, True])
@pytest.mark.parametrize("times", [1, 2])
def test_a_deadlock_in_a_savepoint_keeps_effects_and_position_together(
    service: Service, times: int, swallows: bool
) -> None:
    """The second time, each message has a savepoint of its own."""
    handler = Deadlocking(service.database, times=times, swallows=swallows)
    plan = service.keeping(_plain(handler), max_attempts=1)

    outcomes = drain(plan, things(1, 2, 3))

    assert handler.times == 0
    assert len(handler.heard) == times
    assert sum(outcome.done for outcome in outcomes) == 3
    assert all(isinstance(o.then, RetryAfter) or o.done == 3 for o in outcomes)
    assert effects(service) == [("k", 1), ("k", 2), ("k", 3)]
    assert service.position() == 3
    assert service.guarded() == {b"k": (1, 3)}
    assert service.things() == {1: "rival 1", 2: "rival 2"}


def test_a_parked_message_that_deadlocks_waits_on_and_has_its_effects_once(service: Service) -> None:
    failing = [ValueError("not yet")]
    handler = Deadlocking(service.database, times=1, swallows=True)

    def fails_first(event: Event, session: Session) -> None:
        if failing and event.number == 2:
            raise failing.pop()
        handler(event, session)

    plan = parking(service, fails_first)
    drain(plan, things(1, 2))
    assert parked_keys(service) == {b"k": ("retry", 0, 1)}

    assert turn(plan)
    assert handler.times == 0
    assert effects(service) == [("k", 1)]
    assert parked_keys(service) == {b"k": ("retry", 0, 1)}
    set_key(service, next_ms=0)
    assert turn(plan)

    assert effects(service) == [("k", 1), ("k", 2)]
    assert parked_keys(service) == {}


@pytest.fixture
def without_the_last_move(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant: the position moves as it is claimed, and nobody looks at it again before the commit."""
    claim = DatabasePositions.claim

    def claims_and_moves(self: DatabasePositions, connection: Connection, *which: object) -> bool:
        claimed = claim(self, connection, *which)  # type: ignore[arg-type]
        return claimed and move(self, connection, *which)  # type: ignore[arg-type]

    move = DatabasePositions.move
    monkeypatch.setattr(DatabasePositions, "claim", claims_and_moves)
    monkeypatch.setattr(DatabasePositions, "move", lambda *_: True)


@pytest.mark.usefixtures("without_the_last_move")
def test_the_test_rejects_who_does_not_look_again_before_the_commit(service: Service) -> None:
    handler = Deadlocking(service.database, times=1, swallows=True)
    plan = service.keeping(_plain(handler), sequence="ignore", max_attempts=1)

    plan.deliver(things(1, 2, 3))

    assert effects(service) == [("k", 3)]
    assert service.position() == 0


def _plain(handler: Deadlocking) -> Handler:
    def handle(event: Event, session: Session) -> None:
        handler(event, session)

    return handle
