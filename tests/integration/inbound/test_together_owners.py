"""Joint batches beside other owners, lost answers, and whatever else may come between."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, cast

import pytest
from sqlalchemy import Connection, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from streambind.binding.binder import Lane
from streambind.binding.outcome import Apart, Outcome, RetryAfter, Seek
from streambind.headers import encode_headers
from streambind.inbound.listener import send_to
from streambind.joint_batch import JointBatch
from streambind.message import ROUTE, Batch
from streambind.testing.prefixed import _PlainBatch
from tests.integration.inbound.parking import batch
from tests.integration.inbound.service import DESTINATION, Effect, Event, Outbox, Service, event, keep, listens
from tests.integration.inbound.test_guard_races import DEADLINE_S, wait_for_lock
from tests.unit.inbound.batches import ListBatch, Record, numbered, record

APART = Outcome(0, Apart())


def of(key: str, *numbers: int) -> list[Record]:
    return [numbered(event(key, n), key, n) for n in numbers]


def three(*parts: ListBatch) -> JointBatch:
    return JointBatch(parts)


def hold(service: Service, connection: Connection, partition: int) -> None:
    """Keep owners away from the partition until the transaction ends."""
    columns = service.database.tables.position.c
    query = select(columns.next_offset).where(columns.partition == partition)
    connection.execute(service.database.dialect.locked(query))


class InThread:
    """What is delivered beside the test."""

    def __init__(self, deliver: Callable[[], Outcome]) -> None:
        self._outcome: Outcome | None = None
        self._deliver = deliver
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self._outcome = self._deliver()

    def end(self) -> Outcome:
        self._thread.join(DEADLINE_S)
        assert self._outcome is not None
        return self._outcome


def test_several_positions_are_taken_in_one_order(locking_service: Service) -> None:
    """That of commands which hold a whole group, and of other owners: it comes to no deadlock."""
    service = locking_service
    plan = service.keeping()
    owners: list[InThread] = []

    def holds_both(connection: Connection) -> None:
        hold(service, connection, 0)
        both = three(batch(*of("b", 1), partition=1), batch(*of("a", 1)))
        owners.append(InThread(lambda: plan.deliver(both)))
        wait_for_lock(service, "UPDATE sb_position")
        hold(service, connection, 1)

    service.database.run(holds_both)

    assert owners[0].end() == Outcome(2)
    assert service.effects() == [("b", 1), ("a", 1)]


def test_who_waits_too_long_for_one_of_them_lets_the_others_go(locking_service: Service) -> None:
    service = locking_service
    service.database.transaction_timeout_ms = 1000
    plan = service.keeping()
    parts = batch(*of("a", 1)), batch(*of("b", 1), partition=1)
    outcomes: list[Outcome] = []

    def holds_one(connection: Connection) -> None:
        hold(service, connection, 1)
        outcomes.extend(plan.deliver(each) for each in (three(*parts), *parts))

    service.database.run(holds_one)

    assert outcomes[:2] == [APART, Outcome(1)]
    assert isinstance(outcomes[2].then, RetryAfter)
    assert plan.deliver(parts[1]) == Outcome(1)
    assert service.effects() == [("a", 1), ("b", 1)]


def test_a_zombie_with_one_stale_partition_of_three_changes_nothing(service: Service) -> None:
    zombie, owner = service.keeping(), service.keeping()
    assert zombie.positions is not None
    zombie.positions.adopt({Lane(DESTINATION, 2): (0, "earliest")}, {})
    parts = [batch(*of(key, 1), partition=partition) for partition, key in enumerate("abc")]
    owner.deliver(parts[1])

    assert zombie.deliver(three(*parts)) == APART

    assert service.effects() == [("b", 1)]
    assert [service.position(partition) for partition in range(3)] == [0, 1, 0]
    assert zombie.deliver(parts[1]) == Outcome(0, Seek(1))
    assert zombie.statistics.figures().fenced == 1


def test_a_joint_commit_whose_answer_is_lost_is_recognised_by_the_positions(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, run = service.keeping(), service.database.run
    parts = batch(*of("a", 1, 2)), batch(*of("b", 1), partition=1)

    def run_and_lose_the_answer(work: Any) -> Any:
        run(work)
        raise OperationalError("COMMIT", {}, Exception("connection lost"), connection_invalidated=True)

    with monkeypatch.context() as patched:
        patched.setattr(service.database, "run", run_and_lose_the_answer)
        assert plan.deliver(three(*parts)) == APART

    assert [plan.deliver(part) for part in parts] == [Outcome(0, Seek(2)), Outcome(0, Seek(1))]
    assert service.effects() == [("a", 1), ("a", 2), ("b", 1)]


def test_positions_that_a_command_moves_meanwhile_are_not_overwritten(service: Service) -> None:
    plan = service.keeping()
    service.move_position(5, partition=1)

    assert plan.deliver(three(batch(*of("a", 1)), batch(*of("b", 1), partition=1))) == APART
    assert (service.position(0), service.position(1)) == (0, 5)


def test_an_id_that_comes_in_two_partitions_is_handled_once(service: Service) -> None:
    plan = service.keeping(dedupe="headers['id']")

    def foreign(number: int) -> Record:
        plain = record(event("k", number), "k")
        return Record(plain.payload, plain.key, [("id", b"same")])

    assert plan.deliver(three(batch(foreign(1)), batch(foreign(2), foreign(3), partition=1))) == Outcome(3)

    assert service.effects() == [("k", 1)]
    assert plan.statistics.figures().duplicates == 2
    assert (service.position(0), service.position(1)) == (1, 2)


class Routes(Outbox):
    """Which way the messages came that were answered."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[tuple[str, bytes | None]] = []

    def publish(self, session: Session, reply: Any) -> None:
        self.taken.append((str(reply.cause.route()), reply.inherited_key))
        super().publish(session, reply)


def test_a_reply_goes_the_way_of_the_message_that_it_answers(sync_service: Service) -> None:
    @send_to("out-x")
    def answer(event: Event, session: Session) -> int:
        keep(event, session)
        return event.number

    def came(key: str, by: str) -> Record:
        plain = numbered(event(key, 1), key, 1)
        return Record(plain.payload, plain.key, [*plain.headers, *encode_headers({ROUTE: by})])

    replies = Routes()
    plan = sync_service.plan(listens(answer), replies=replies)

    assert plan.deliver(three(batch(came("a", "p=1")), batch(came("b", "q=2"), partition=1))) == Outcome(2)

    assert replies.taken == [("p=1 things=1", b"a"), ("q=2 things=1", b"b")]
    assert sync_service.effects() == [("a", 1), ("reply to out-x", 1), ("b", 1), ("reply to out-x", 1)]


def test_a_message_that_concerns_nobody_needs_no_readable_headers(sync_service: Service) -> None:
    """Nor does it by itself."""

    def never(event: Event, session: Session) -> None:
        session.add(Effect(key="never", number=0))

    unreadable = Record(record(event("k", 1)).payload, b"k", unreadable=True)
    listener = listens(never, condition="payload.key == 'other'")
    plan = sync_service.plan(listener, sequence="ignore")

    assert plan.deliver(three(batch(unreadable), batch(unreadable, partition=1))) == Outcome(2)
    assert sync_service.plan(listener, sequence="ignore").deliver(batch(unreadable, start=1)) == Outcome(1)
    assert sync_service.effects() == []


def test_a_joint_batch_is_known_by_another_name_too(sync_service: Service) -> None:
    """As binders of tests show it, whose topics have a prefix at the broker."""
    plan = sync_service.keeping()
    seen = [ListBatch(of(key, 1), 0, f"test-{DESTINATION}", number) for number, key in enumerate("ab")]

    outcome = plan.deliver(cast(Batch, _PlainBatch(JointBatch(seen), DESTINATION)))

    assert outcome == Outcome(2)
    assert (sync_service.position(0), sync_service.position(1)) == (1, 1)
