"""An owner that stands still in its transaction does not hold up the next one for ever."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from streambind.binding.outcome import Continue, Outcome, RetryAfter
from streambind.message import Message
from streambind.persistence import database as database_module
from streambind.testing.eventually import eventually
from tests.integration.inbound.conftest import MakeDatabase
from tests.integration.inbound.replicas import Item, changed, items
from tests.integration.inbound.service import Event, Service, event, keep
from tests.integration.inbound.topic import Topic
from tests.integration.urls import drivers
from tests.unit.inbound.batches import ListBatch, numbered

BATCH = ListBatch([numbered(event("k", n), "k", n) for n in (1, 2)])
TIMEOUT_MS = 1000
"""Within it goes what nobody holds up, until the test has seen what it wants."""
ORDINARY_MS = 30_000
WITHIN_S = 20


_IS_ENDED = {
    "postgresql": ("SELECT pg_backend_pid()", "SELECT count(*) FROM pg_stat_activity WHERE pid = :pid"),
    "mysql": ("SELECT connection_id()", "SELECT count(*) FROM information_schema.processlist WHERE id = :pid"),
}
_LOCK_TIMEOUT = {"postgresql": "SQLSTATE 55P03", "mysql": "error 1205"}


@pytest.fixture(
    params=drivers(
        *("postgresql+psycopg", "postgresql+psycopg_async", "postgresql+asyncpg"),
        *("mysql+pymysql", "mariadb+asyncmy"),
        *("mysql8+pymysql", "mysql8+asyncmy"),
    )
)
def impatient(request: pytest.FixtureRequest, make_database: MakeDatabase) -> Service:
    service = Service(make_database(request.param))
    service.database.transaction_timeout_ms = TIMEOUT_MS
    return service


@pytest.fixture
def other(impatient: Service) -> Iterator[Engine]:
    """Another way into the same database."""
    url = impatient.database.engine.url
    driver = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}[impatient.database.dialect.name]
    engine = create_engine(url.set(drivername=driver), isolation_level="READ COMMITTED")
    yield engine
    engine.dispose()


def test_who_waits_for_a_partition_says_so(impatient: Service, other: Engine) -> None:
    plan = impatient.keeping()

    with other.begin() as connection:
        connection.execute(select(impatient.database.tables.position).with_for_update())
        outcome = plan.deliver(BATCH)

    assert isinstance(outcome.then, RetryAfter)
    assert _LOCK_TIMEOUT[impatient.database.dialect.name] in outcome.then.reason
    assert plan.statistics.figures().degraded_since is not None
    impatient.database.transaction_timeout_ms = ORDINARY_MS
    assert plan.deliver(BATCH) == Outcome(2, Continue())
    assert plan.statistics.figures().degraded_since is None


def test_a_transaction_that_stands_still_is_ended_and_done_again(impatient: Service, other: Engine) -> None:
    own_pid, is_there = map(text, _IS_ENDED[impatient.database.dialect.name])
    tries: list[int] = []

    def is_ended(pid: int) -> bool:
        with other.connect() as connection:
            return not connection.scalar(is_there, {"pid": pid})

    def stands_still(event: Event, session: Session) -> None:
        keep(event, session)
        session.flush()
        tries.append(event.number)
        if len(tries) == 1:
            pid = session.scalar(own_pid) or 0
            eventually(lambda: is_ended(pid), WITHIN_S, "the database waits for it")

    plan = impatient.keeping(stands_still, max_attempts=1)

    outcome = plan.deliver(BATCH)

    assert isinstance(outcome.then, RetryAfter)
    assert outcome.done == 0
    impatient.database.transaction_timeout_ms = ORDINARY_MS
    assert impatient.effects() == []
    assert plan.deliver(BATCH) == Outcome(2, Continue())
    assert impatient.effects() == [("k", 1), ("k", 2)]


def test_a_comparison_that_stands_still_lets_its_group_go(
    impatient: Service, other: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed it would; but its process is stopped, or its host is gone."""
    monkeypatch.setattr(database_module, "OPERATOR_TIMEOUT_MS", TIMEOUT_MS)
    impatient.database.transaction_timeout_ms = ORDINARY_MS
    topic = Topic(impatient, impatient.plan(Item))
    topic.deliver(changed("INSERT", 1, "a", seq=1))
    position = select(impatient.database.tables.position).with_for_update(nowait=True)

    def is_free() -> bool:
        try:
            with other.begin() as connection:
                return connection.execute(position).first() is not None
        except DBAPIError:
            return False

    def stands_still(*_: object) -> list[Message]:
        assert not is_free()
        eventually(is_free, WITHIN_S, "the group's positions are held still")
        topic.deliver(changed("INSERT", 2, "b", seq=1))
        return []

    with monkeypatch.context() as patch:
        patch.setattr(topic, "_read", stands_still)
        with pytest.raises(DBAPIError):
            topic.difference()

    assert items(impatient) == {1: "a", 2: "b"}
    assert topic.difference().is_none
