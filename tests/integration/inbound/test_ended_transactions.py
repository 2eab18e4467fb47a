"""Handlers that end the transaction of their batch themselves: nothing is lost, nothing is done twice unseen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from streambind.binding.outcome import Outcome, Stop
from streambind.errors import UnfinishedBatchError
from tests.integration.inbound.service import Event, Service, drain, event, keep
from tests.unit.inbound.batches import ListBatch, numbered

COUNT = 6

ENDINGS: dict[str, Callable[[Session], object]] = {
    "the connection's commit": lambda session: session.connection().commit(),
    "the transaction's commit": lambda session: _root(session).commit(),
    "SQL": lambda session: session.execute(text("COMMIT")),
    "the driver's commit": lambda session: session.connection().connection.commit(),
}
SEEN_AT_ONCE = ["the connection's commit", "the transaction's commit"]


def _root(session: Session) -> Any:
    return session.connection().get_transaction()


def _things() -> ListBatch:
    return ListBatch([numbered(event("k", n), "k", n) for n in range(1, COUNT + 1)])


def _ends_at_two(ending: str, *, then_fails: bool) -> Callable[[Event, Session], None]:
    failures = [RuntimeError("not today")] if then_fails else []

    def handle(event: Event, session: Session) -> None:
        keep(event, session)
        session.flush()
        if event.number == 2:
            ENDINGS[ending](session)
        if event.number == 4 and failures:
            raise failures.pop()

    return handle


def _stopped(outcomes: list[Outcome]) -> bool:
    last = outcomes[-1].then
    if not isinstance(last, Stop):
        return False
    assert isinstance(last.error, UnfinishedBatchError), last.error
    assert "has ended the transaction" in str(last.error)
    assert "streambind positions reset TARGET in-things --to OFFSET" in str(last.error)
    return True


@pytest.mark.parametrize("then_fails", [False, True], ids=["", "a later one fails"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_left_behind_is_applied_once_or_stops_by_name(
    sync_service: Service, ending: str, then_fails: bool
) -> None:
    plan = sync_service.keeping(_ends_at_two(ending, then_fails=then_fails), max_attempts=3)

    stopped = _stopped(drain(plan, _things()))

    position = sync_service.position()
    assert position == (0 if stopped else COUNT)
    times = Counter(number for _, number in sync_service.effects())
    assert all(count == 1 for count in times.values()), times
    assert set(times) >= set(range(1, (position or 0) + 1))
    if ending in SEEN_AT_ONCE or then_fails:
        assert stopped
        assert set(times) >= {1, 2}


@pytest.mark.parametrize("ending", SEEN_AT_ONCE)
def test_it_stays_stopped_for_the_next_owner_until_the_position_is_moved(
    sync_service: Service, ending: str
) -> None:
    drain(sync_service.keeping(_ends_at_two(ending, then_fails=False)), _things())
    next_owner = sync_service.keeping()

    assert _stopped(drain(next_owner, _things()))
    assert len(sync_service.effects()) == 2

    sync_service.move_position(2)
    rest = _things().after(2)
    assert rest is not None
    drain(sync_service.keeping(sequence="ignore"), rest)
    assert [number for _, number in sync_service.effects()] == [1, 2, 3, 4, 5, 6]


def test_a_commit_of_the_session_ends_nothing(any_service: Service) -> None:
    def commits(event: Event, session: Session) -> None:
        keep(event, session)
        session.commit()

    outcomes = drain(any_service.keeping(commits), _things())

    assert [outcome.done for outcome in outcomes] == [COUNT]
    assert len(any_service.effects()) == COUNT
