"""The database in the way: the batch waits, no message is to blame."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import NullPool

from streambind.binding.binder import Identity, Lane
from streambind.binding.outcome import Continue, Outcome, RetryAfter
from streambind.configuration.properties import BindingProperties
from streambind.event_loop import EventLoop
from streambind.inbound.input import InputPlan
from streambind.inbound.listener import ListenerMark
from streambind.inbound.surroundings import Surroundings
from streambind.persistence.database import Database
from tests.integration.inbound.conftest import MakeDatabase
from tests.integration.inbound.service import DESTINATION, Event, Letters, Service, drain, event, keep
from tests.integration.urls import drivers
from tests.unit.inbound.batches import ListBatch, numbered
from tests.unit.inbound.planning import plan as plan_without_database


def things(*numbers: int, start: int = 0, partition: int = 0) -> ListBatch:
    return ListBatch([numbered(event("k", n), "k", n) for n in numbers], start, DESTINATION, partition)


class _Deadlock(Exception):
    sqlstate = "40P01"


def _deadlock() -> OperationalError:
    return OperationalError("UPDATE", {}, _Deadlock("deadlock detected"))


def _waits(outcome: Outcome) -> int:
    assert isinstance(outcome.then, RetryAfter), outcome
    assert outcome.then.delay_ms <= 30_000
    return outcome.done


@pytest.mark.parametrize("is_wrapped", [False, True])
def test_a_deadlock_in_a_handler_does_the_whole_batch_again(service: Service, is_wrapped: bool) -> None:
    failures = [_deadlock() for _ in range(5)]
    letters = Letters()

    def deadlocks(event: Event, session: Session) -> None:
        keep(event, session)
        if event.number == 2 and failures:
            if is_wrapped:
                raise RuntimeError("handler gave up") from failures.pop()
            raise failures.pop()

    plan = service.keeping(deadlocks, letters=letters, max_attempts=1)

    for _ in range(5):
        assert _waits(plan.deliver(things(1, 2, 3))) == 0
        assert service.effects() == []
    figures = plan.statistics.figures()
    assert figures.degraded_since is not None
    assert "SQLSTATE 40P01" in (figures.last_error or "") or is_wrapped
    assert plan.deliver(things(1, 2, 3)) == Outcome(3, Continue())
    assert plan.statistics.figures().degraded_since is None
    assert letters.sent == []


_KILL = {"postgresql": "SELECT pg_terminate_backend(pg_backend_pid())", "mysql": "KILL CONNECTION CONNECTION_ID()"}
_SERVERS = drivers(
    *("postgresql+psycopg", "postgresql+asyncpg", "postgresql+psycopg_async"),
    *("mysql+pymysql", "mariadb+asyncmy"),
)


@pytest.fixture(params=_SERVERS)
def on_a_server(request: pytest.FixtureRequest, make_database: MakeDatabase) -> Service:
    return Service(make_database(request.param))


@pytest.mark.parametrize("swallows", [False, True])
def test_a_connection_that_dies_under_a_handler_is_nobodys_fault(on_a_server: Service, swallows: bool) -> None:
    """Whether the handler keeps it to itself or not."""
    killed: list[int] = []

    def dies(event: Event, session: Session) -> None:
        keep(event, session)
        session.flush()
        if event.number == 2 and not killed:
            killed.append(1)
            try:
                session.execute(text(_KILL[on_a_server.database.dialect.name]))
            except DBAPIError:
                if not swallows:
                    raise

    plan = on_a_server.keeping(dies, max_attempts=1)

    assert _waits(plan.deliver(things(1, 2, 3))) == 0
    assert on_a_server.effects() == []
    assert plan.deliver(things(1, 2, 3)) == Outcome(3, Continue())
    assert on_a_server.effects() == [("k", 1), ("k", 2), ("k", 3)]


@pytest.mark.parametrize(
    "driver", ["postgresql+psycopg", "postgresql+asyncpg", "mysql+pymysql", "mariadb+asyncmy"]
)
def test_a_database_that_refuses_connections_is_waited_for(driver: str) -> None:
    loop = EventLoop()
    database = Database.from_url(f"{driver}://nobody@127.0.0.1:1/none", loop=loop)
    listener = Service(database).listener(keep)
    plan = InputPlan.build(
        "in-things",
        BindingProperties(destination=DESTINATION, group="g"),
        listeners=[ListenerMark(listener, "in-things")],
        surroundings=Surroundings(loop=loop, database=database),
    )

    for _ in range(3):
        assert _waits(plan.deliver(things(1))) == 0
    assert plan.statistics.figures().degraded_since is not None
    database.dispose()
    loop.close()


def test_missing_tables_are_waited_for_and_named(tmp_path: Any) -> None:
    """They may still be created; nothing is lost, and health says what is wrong."""
    loop = EventLoop()
    database = Database(sessionmaker(create_engine(f"sqlite:///{tmp_path / 'empty.db'}")), loop=loop)
    service = Service(database)
    plan = service.plan(keep, adopt=None)

    assert _waits(plan.deliver(things(1))) == 0
    assert "sb_position" in (plan.statistics.figures().last_error or "")
    database.dispose()


def test_the_database_of_a_handler_without_session_is_no_messages_fault_either() -> None:
    failures = [_deadlock()]

    def stores_elsewhere(event: dict[str, Any]) -> None:
        if event["number"] == 2 and failures:
            raise failures.pop()

    plan = plan_without_database(stores_elsewhere, max_attempts=1)

    outcome = plan.deliver(things(1, 2, 3))
    assert _waits(outcome) == 1
    assert outcome.then.delay_ms <= 100  # type: ignore[union-attr]


def test_positions_are_read_and_adopted_once(service: Service) -> None:
    plan = service.keeping(adopt=None)
    assert plan.positions is not None
    first, second, third = (Lane(DESTINATION, partition) for partition in (0, 1, 2))

    assert plan.positions.read([first, second]) == {}
    assert plan.positions.read([]) == {}
    assert plan.positions.adopt({}, {}) == {}
    assert plan.positions.adopt({second: (7, "committed"), first: (0, "earliest")}, {}) == {first: 0, second: 7}
    # Another instance was faster: its word counts.
    assert plan.positions.adopt({first: (3, "latest"), third: (9, "latest")}, {}) == {first: 0, third: 9}
    assert plan.positions.read([first, second, third, Lane("other", 0)]) == {first: 0, second: 7, third: 9}


def test_an_offset_of_the_broker_that_leaves_messages_out_is_a_warning_with_the_remedy(
    sync_service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    positions = sync_service.keeping(adopt=None).positions
    assert positions is not None
    starts = {partition: Lane(DESTINATION, partition) for partition in range(4)}
    positions.adopt({starts[0]: (7, "committed"), starts[1]: (0, "committed"), starts[2]: (5, "latest")}, {})
    positions.adopt({starts[0]: (7, "committed"), starts[3]: (9, "earliest")}, {})

    [told] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert f"{DESTINATION}[0]: the database has no position of group" in told
    assert "goes on at 7" in told
    assert "earlier messages will not be read" in told
    assert "`streambind positions reset TARGET BINDING --to earliest`" in told


def test_which_destination_a_position_belongs_to_is_noted_once(any_service: Service) -> None:
    positions = any_service.keeping(adopt=None).positions
    assert positions is not None
    first, second, third = Lane(DESTINATION, 1), Lane(DESTINATION, 2), Lane("other", 0)
    old, new, untold = Identity("c", "old"), Identity("c", "new"), Identity("c")
    positions.adopt({first: (0, "earliest")}, {DESTINATION: old})
    positions.adopt({first: (7, "earliest"), second: (0, "earliest")}, {DESTINATION: untold})
    assert positions.identify([first, second, third], {DESTINATION: untold}) == {first: old, second: untold}
    assert positions.identify([first, second, third], {DESTINATION: new}) == {first: old, second: new}
    assert positions.identify([second], {DESTINATION: old}) == {second: new}
    assert positions.identify([], {}) == {}


def test_groups_have_positions_of_their_own(sync_service: Service) -> None:
    def plan(group: str) -> InputPlan:
        return InputPlan.build(
            "in-things",
            BindingProperties(destination=DESTINATION, group=group),
            listeners=[ListenerMark(keep, "in-things")],
            surroundings=Surroundings(loop=sync_service.database.loop, database=sync_service.database),
        )

    for group in ("one", "two"):
        inputs = plan(group)
        assert inputs.positions is not None
        inputs.positions.adopt({Lane(DESTINATION, 0): (0, "earliest")}, {})
        assert inputs.deliver(things(1, 2)) == Outcome(2, Continue())

    assert sync_service.effects() == [("k", 1), ("k", 2)] * 2


def test_a_statement_that_takes_too_long_in_a_handler_is_the_messages_own(postgres_service: Service) -> None:
    """It may be the statement's fault: tried within the budget, then passed over, and the others go on."""

    def slow(event: Event, session: Session) -> None:
        keep(event, session)
        if event.number == 2:
            session.execute(text("SET LOCAL statement_timeout = 20"))
            session.execute(text("SELECT pg_sleep(10)"))

    letters = Letters()
    plan = postgres_service.keeping(slow, letters=letters, max_attempts=2)

    drain(plan, things(1, 2, 3))

    assert postgres_service.effects() == [("k", 1), ("k", 3)]
    assert [letter.offset for letter in letters.sent] == [1]


def test_a_lock_that_others_hold_is_no_slow_statement(postgres_service: Service) -> None:
    """Where statements may take a second, the wait for a lock has to end before: it is nobody's fault."""
    database = postgres_service.database
    name = database.engine.url.database

    def limit(statement_timeout: str) -> None:
        with create_engine(database.engine.url, poolclass=NullPool).connect() as connection:
            connection.execute(text(f'ALTER DATABASE "{name}" SET statement_timeout = {statement_timeout}'))
            connection.commit()
        database.dispose()

    plan = postgres_service.keeping(on_error="skip", max_attempts=1)
    limit("1000")
    try:
        with create_engine(database.engine.url, poolclass=NullPool).connect() as other:
            other.execute(text("LOCK TABLE effect IN ACCESS EXCLUSIVE MODE"))
            outcome = plan.deliver(things(1))
            other.rollback()
        assert _waits(outcome) == 0
        assert isinstance(outcome.then, RetryAfter)
        assert "55P03" in outcome.then.reason
    finally:
        limit("DEFAULT")
    drain(plan, things(1))
    assert postgres_service.effects() == [("k", 1)]
