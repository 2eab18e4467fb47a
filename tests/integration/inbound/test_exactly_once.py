"""Effects, position and guard rows come and go together, whatever happens in between."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from streambind.binding.outcome import Continue, Outcome, RetryAfter, Seek, Stop
from streambind.failpoints import FailpointError
from streambind.inbound import delivery, delivery_positions, handling
from streambind.inbound.input import InputPlan
from tests.integration.inbound.service import DESTINATION, Event, Service, event, keep
from tests.unit.inbound.batches import ListBatch, numbered, record

FORMS = pytest.mark.parametrize("many", [False, True], ids=["one", "list"])
"""Whether the listener takes single messages or a list."""


def things(*numbers: int, key: str = "k", start: int = 0, partition: int = 0) -> ListBatch:
    """Numbered events of one key."""
    records = [numbered(event(key, n), key, n) for n in numbers]
    return ListBatch(records, start, DESTINATION, partition)


def batch_of_keys(*events: tuple[str, int], start: int = 0) -> ListBatch:
    """Numbered events, each of a key."""
    return ListBatch([numbered(event(key, n), key, n) for key, n in events], start, DESTINATION)


@FORMS
def test_a_batch_is_applied_in_one_transaction_with_its_position(service: Service, many: bool) -> None:
    plan = service.keeping(many=many)

    assert plan.deliver(things(1, 2, 3)) == Outcome(3, Continue())

    assert service.effects() == [("k", 1), ("k", 2), ("k", 3)]
    assert service.position() == 3
    assert service.guarded() == {b"k": (1, 3)}
    assert service.commits == 1
    assert plan.statistics.figures().handled == 3


def test_the_position_moves_from_where_it_stood_over_holes_in_the_log(service: Service) -> None:
    plan = service.keeping(adopt=(2, "committed"))
    batch = ListBatch([record(event("a", 1)), record(event("a", 2))], offsets=[3, 7], before=2)

    assert plan.deliver(batch).done == 2
    assert service.position() == 8


@FORMS
def test_a_batch_that_comes_again_is_fenced(service: Service, many: bool) -> None:
    plan = service.keeping(many=many)
    plan.deliver(things(1, 2, 3))

    assert plan.deliver(things(1, 2, 3)) == Outcome(0, Seek(3))
    assert service.effects() == [("k", 1), ("k", 2), ("k", 3)]


def test_a_batch_without_a_position_in_the_database_stops(service: Service) -> None:
    plan = service.keeping()
    service.forget_positions()

    outcome = plan.deliver(things(1))

    assert isinstance(outcome.then, Stop)
    assert service.effects() == []


@FORMS
def test_events_that_the_log_holds_twice_are_applied_once(service: Service, many: bool) -> None:
    plan = service.keeping(many=many)

    assert plan.deliver(things(1, 1, 2, 1, 2, 3)).done == 6
    assert plan.deliver(things(2, 3, 4, start=6)).done == 3

    assert service.effects() == [("k", n) for n in (1, 2, 3, 4)]
    assert service.position() == 9
    assert plan.statistics.figures().duplicates == 5


def test_a_key_that_goes_on_does_not_hide_one_that_repeats(service: Service) -> None:
    plan = service.keeping()
    plan.deliver(batch_of_keys(("a", 1), ("b", 1)))

    assert plan.deliver(batch_of_keys(("a", 2), ("b", 1), ("c", 1), start=2)).done == 3

    assert service.effects() == [("a", 1), ("b", 1), ("a", 2), ("c", 1)]
    assert plan.statistics.figures().duplicates == 1


@FORMS
@pytest.mark.parametrize(
    "point",
    [
        "delivery.after_poll",
        "delivery.after_position",
        "delivery.in_handler",
        "delivery.before_commit",
        "delivery.after_commit",
    ],
)
def test_a_crash_anywhere_leaves_all_or_nothing(
    service: Service, point: str, many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = service.keeping(many=many)
    batch = things(1, 2, 3)
    with monkeypatch.context() as patched:
        _arm(patched, point)
        with pytest.raises(FailpointError, match=point):
            plan.deliver(batch)

    is_committed = point == "delivery.after_commit"
    assert service.effects() == ([("k", 1), ("k", 2), ("k", 3)] if is_committed else [])
    assert service.position() == (3 if is_committed else 0)
    assert service.guarded() == ({b"k": (1, 3)} if is_committed else {})

    again = service.keeping(many=many)  # The process has started again.
    assert again.deliver(batch) == (Outcome(0, Seek(3)) if is_committed else Outcome(3, Continue()))
    assert service.effects() == [("k", 1), ("k", 2), ("k", 3)]


def _arm(patched: pytest.MonkeyPatch, point: str) -> None:
    def failpoint(name: str) -> None:
        if name == point:
            raise FailpointError(name)

    patched.setattr(delivery, "failpoint", failpoint)
    patched.setattr(delivery_positions, "failpoint", failpoint)
    patched.setattr(handling, "failpoint", failpoint)


@FORMS
def test_a_commit_whose_answer_is_lost_is_recognised_by_the_position(
    service: Service, many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = service.keeping(many=many)
    run = service.database.run

    def run_and_lose_the_answer(work: Any) -> Any:
        run(work)
        raise OperationalError("COMMIT", {}, Exception("connection lost"), connection_invalidated=True)

    with monkeypatch.context() as patched:
        patched.setattr(service.database, "run", run_and_lose_the_answer)
        outcome = plan.deliver(things(1, 2))

    assert outcome.done == 0
    assert isinstance(outcome.then, RetryAfter)
    assert plan.deliver(things(1, 2)) == Outcome(0, Seek(2))
    assert service.effects() == [("k", 1), ("k", 2)]


@FORMS
def test_two_owners_at_once_apply_a_batch_once(sync_service: Service, many: bool) -> None:
    """The second one waits for the first one's transaction, and finds the position moved."""
    service = sync_service
    in_handler, go_on = threading.Event(), threading.Event()

    def slow(event: Event, session: Session) -> None:
        keep(event, session)
        in_handler.set()
        assert go_on.wait(30)

    first, second = service.keeping(slow, many=many), service.keeping(many=many)
    outcomes: dict[str, Outcome] = {}

    def deliver(name: str, plan: InputPlan) -> None:
        outcomes[name] = plan.deliver(things(1))

    owner = threading.Thread(target=deliver, args=("first", first))
    owner.start()
    assert in_handler.wait(30)
    zombie = threading.Thread(target=deliver, args=("second", second))
    zombie.start()
    zombie.join(0.2)
    assert zombie.is_alive()
    go_on.set()
    owner.join()
    zombie.join()

    assert outcomes == {"first": Outcome(1, Continue()), "second": Outcome(0, Seek(1))}
    assert service.effects() == [("k", 1)]


def test_all_listeners_of_a_binding_share_the_transaction(service: Service) -> None:
    def fails(event: Event, session: Session) -> None:
        if event.number == 2:
            raise ValueError("two")

    plan = service.plan(service.listener(keep), service.listener(fails))

    outcome = plan.deliver(things(1, 2, 3))

    assert outcome.done == 1
    assert service.effects() == [("k", 1)]
    assert service.position() == 1


def test_messages_without_numbers_have_the_position_only(service: Service) -> None:
    plan = service.keeping()
    foreign = [record(event("k", 1), "k"), record(event("k", 1), "k"), record(event("x", 1))]

    assert plan.deliver(ListBatch(foreign)).done == 3
    assert service.effects() == [("k", 1), ("k", 1), ("x", 1)]
    assert service.guarded() == {}


def test_numbers_can_be_ignored(service: Service) -> None:
    plan = service.keeping(sequence="ignore")

    assert plan.deliver(things(5, 5, 9)).done == 3
    assert service.guarded() == {}
    assert plan.statistics.figures().duplicates == 0


def test_two_sources_do_not_share_numbers(service: Service) -> None:
    plan = service.keeping()
    records = [numbered(event("k", 1), "k", 1, source=source) for source in ("s2", "s1", "s2", "s1")]

    assert plan.deliver(ListBatch(records)).done == 4
    assert len(service.effects()) == 2


def test_more_keys_than_a_statement_takes(sync_service: Service) -> None:
    plan = sync_service.keeping()
    count = 5_100
    first = ListBatch([numbered(event(f"k{n}", 1), f"k{n}", 1) for n in range(count)])
    again = ListBatch([*first.records, *(numbered(event("k7", 2), "k7", 2) for _ in range(2))], start=count)

    assert plan.deliver(first).done == count
    assert plan.deliver(again).done == count + 2

    assert len(sync_service.effects()) == count + 1
    assert plan.statistics.figures().duplicates == count + 1


def test_the_position_is_moved_before_anything_else(postgres_service: Service) -> None:
    """But for the limits of waiting: the lock that it takes is what keeps a second owner out."""
    from sqlalchemy import event as events

    statements: list[str] = []

    def note(connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    plan = postgres_service.keeping()
    events.listen(postgres_service.database.engine, "before_cursor_execute", note)
    plan.deliver(things(1))

    assert statements[0].strip().startswith("SELECT set_config(")
    assert statements[1].startswith("UPDATE sb_position")
    assert "FROM sb_parked_key" in statements[2]
    assert "FOR UPDATE" in statements[3]
    assert statements[-1].startswith("INSERT INTO sb_guard")
