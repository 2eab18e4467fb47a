"""Parked messages meet the same handlers, sessions and replies as delivered ones."""

from __future__ import annotations

import contextlib

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from streambind.binding.outcome import Stop
from streambind.errors import ConfigurationError, ParkingLimitError
from streambind.inbound.listener import send_to, stream_listener
from streambind.inbound.parked_status import ParkedStatus, parked_reasons, parked_status
from streambind.message import Message
from tests.integration.inbound.parking import (
    Poison,
    batch,
    of_key,
    parked_key,
    parked_keys,
    parked_messages,
    parking,
    parking_settings,
    set_key,
    steal_messages,
    turn,
    turns,
)
from tests.integration.inbound.service import (
    DESTINATION,
    GROUP,
    Effect,
    Event,
    Outbox,
    Service,
    Thing,
    drain,
    keep,
)
from tests.unit.inbound.batches import Record, record


def test_a_reply_to_a_parked_message_is_atomic_with_its_effects(any_service: Service) -> None:
    poison = Poison(("k", 1))
    outbox = Outbox()

    @stream_listener("in-things")
    @send_to("out-things")
    def answers(event: Event, session: Session) -> int:
        poison(event, session)
        return event.number

    @stream_listener("in-things")
    @send_to("out-things")
    async def answers_too(event: Event, session: AsyncSession) -> int:
        return await session.run_sync(lambda inner: answers(event, inner))

    listener = answers_too if any_service.database.is_async else answers
    plan = any_service.plan(listener, replies=outbox, **parking_settings())
    drain(plan, batch(*of_key("k", 1)))
    turn(plan)
    assert any_service.effects() == []
    poison.fix()
    outbox.failures = [ValueError("no bytes")]
    turn(plan)
    assert any_service.effects() == []
    before = any_service.commits
    turn(plan)
    assert any_service.effects() == [("k", 1), ("reply to out-things", 1)]
    assert any_service.commits == before + 1


def test_tombstones_and_undecodable_bytes_wait_in_their_order(any_service: Service) -> None:
    takes: list[bytes | None] = []

    def handle(message: Message, session: Session) -> None:
        takes.append(message.payload)
        if message.payload == b"poison" and len(takes) == 1:
            raise ValueError("poison")
        session.add(Effect(key="bytes", number=len(takes)))

    async def handle_too(message: Message, session: AsyncSession) -> None:
        await session.run_sync(lambda inner: handle(message, inner))

    listener = handle_too if any_service.database.is_async else handle
    plan = any_service.plan(listener, **parking_settings())
    drain(plan, batch(record(b"poison", "k"), record(None, "k"), record(b"\xff", "k")))
    turns(plan)
    assert takes == [b"poison", b"poison", None, b"\xff"]
    assert parked_messages(any_service) == []


def test_a_batch_listener_gets_parked_messages_one_by_one(any_service: Service) -> None:
    poison = Poison(("k", 2))
    sizes: list[int] = []

    def handle(events: list[Event], session: Session) -> None:
        sizes.append(len(events))
        for each in events:
            poison(each, session)

    async def handle_too(events: list[Event], session: AsyncSession) -> None:
        await session.run_sync(lambda inner: handle(events, inner))

    listener = handle_too if any_service.database.is_async else handle
    plan = any_service.plan(listener, **parking_settings())
    drain(plan, batch(*of_key("k", 1, 2, 3), *of_key("a", 1)))
    assert any_service.effects() == [("k", 1), ("a", 1)]
    poison.fix()
    sizes.clear()
    turns(plan)
    assert sizes == [1, 1]
    assert any_service.effects() == [("k", 1), ("a", 1), ("k", 2), ("k", 3)]


def test_a_handler_that_commits_and_then_fails_leaves_nothing(any_service: Service) -> None:
    def handle(event: Event, session: Session) -> None:
        keep(event, session)
        session.commit()
        raise ValueError("after its commit")

    plan = parking(any_service, handle)
    drain(plan, batch(*of_key("k", 1)))
    turn(plan)
    assert any_service.effects() == []
    assert parked_keys(any_service) == {b"k": ("retry", 1, 1)}


def test_a_handler_that_ends_the_transaction_makes_its_key_dead_instead_of_its_effects_twice(
    any_service: Service,
) -> None:
    delivered: list[int] = []

    def handle(event: Event, session: Session) -> None:
        keep(event, session)
        session.flush()
        delivered.append(event.number)
        if len(delivered) == 1:
            raise ValueError("parked")
        session.connection().commit()

    plan = parking(any_service, handle)
    drain(plan, batch(*of_key("k", 1)))
    with contextlib.suppress(Exception):  # What SQLAlchemy says of a transaction that is gone.
        turn(plan)
    assert turns(plan) == 0
    row = parked_key(any_service)
    assert (row.state, row.error_class) == ("dead", "streambind.errors.UnfinishedBatchError")
    assert any_service.effects() == [("k", 1)]


def test_a_message_that_only_the_commit_refuses_uses_up_its_tries(postgres_service: Service) -> None:
    """A deferred constraint shows when the transaction is over."""
    owners: list[int | None] = [99]

    def handle(event: Event, session: Session) -> None:
        session.add(Thing(id=event.number, name=f"n{event.number}", owner_id=owners[0]))

    plan = parking(postgres_service, handle, parking={"max_attempts": 3})
    drain(plan, batch(*of_key("k", 1)))
    assert parked_keys(postgres_service) == {b"k": ("retry", 0, 1)}
    turn(plan)
    assert parked_keys(postgres_service) == {b"k": ("retry", 1, 1)}
    owners[0] = None
    turns(plan)
    assert postgres_service.things() == {1: "n1"}
    assert parked_keys(postgres_service) == {}


def test_so_does_one_that_follows_a_message_which_was_handled_just_now(postgres_service: Service) -> None:
    owners: dict[int, int | None] = {1: 99, 2: 99}

    def handle(event: Event, session: Session) -> None:
        session.add(Thing(id=event.number, name=f"n{event.number}", owner_id=owners[event.number]))

    plan = parking(postgres_service, handle, parking={"max_attempts": 3})
    drain(plan, batch(*of_key("k", 1, 2)))
    owners[1] = None
    turn(plan)
    assert postgres_service.things() == {1: "n1"}
    turn(plan)
    assert parked_keys(postgres_service) == {b"k": ("retry", 1, 1)}


def test_headers_that_cannot_be_read_are_parked_with_their_message(any_service: Service) -> None:
    plan = parking(any_service, parking={"max_attempts": 2})
    drain(plan, batch(Record(b"{}", b"k", unreadable=True), *of_key("k", 1)))
    assert [row.headers is None for row in parked_messages(any_service)] == [True, False]
    turns(plan)
    row = parked_key(any_service)
    assert (row.state, row.messages) == ("dead", 2)
    assert "headers could not be read" in row.error_text


def test_more_keys_than_may_be_parked_stop_the_partition(any_service: Service) -> None:
    poison = Poison(("a", 1), ("b", 1), ("c", 1))
    plan = parking(any_service, poison, parking={"max_keys": 2})
    outcomes = drain(plan, batch(*of_key("a", 1, 2), *of_key("b", 1), *of_key("ok", 1), *of_key("c", 1)))

    stopped = outcomes[-1].then
    assert isinstance(stopped, Stop)
    assert isinstance(stopped.error, ParkingLimitError)
    assert "2 keys of things are parked already" in str(stopped.error)
    assert any_service.position() == 4
    assert sorted(parked_keys(any_service)) == [b"a", b"b"]
    assert any_service.effects() == [("ok", 1)]


def test_more_messages_than_may_wait_behind_a_key_stop_the_partition(any_service: Service) -> None:
    plan = parking(any_service, Poison(("k", 1)), parking={"max_messages_per_key": 2})
    outcomes = drain(plan, batch(*of_key("k", 1, 2), *of_key("a", 1), *of_key("k", 3), *of_key("a", 2)))

    stopped = outcomes[-1].then
    assert isinstance(stopped, Stop)
    assert isinstance(stopped.error, ParkingLimitError)
    assert any_service.position() == 3
    assert any_service.effects() == [("a", 1)]
    assert parked_keys(any_service) == {b"k": ("retry", 0, 2)}


def test_a_key_without_messages_is_parked_no_longer(any_service: Service) -> None:
    """Somebody has deleted them by hand."""
    plan = parking(any_service, Poison(("k", 1)))
    drain(plan, batch(*of_key("k", 1)))
    steal_messages(any_service)
    assert turns(plan) == 1
    assert parked_keys(any_service) == {}


def test_a_count_that_is_wrong_loses_nothing(any_service: Service) -> None:
    poison = Poison(("k", 1))
    plan = parking(any_service, poison)
    drain(plan, batch(*of_key("k", 1, 2, 3)))
    set_key(any_service, messages=1)
    poison.fix()
    turns(plan)
    assert any_service.effects() == [("k", 1), ("k", 2), ("k", 3)]
    assert parked_keys(any_service) == {}


def test_the_status_counts_by_group_and_destination(any_service: Service) -> None:
    poison = Poison(("dead", 1), ("k", 1))
    plan = parking(any_service, poison, parking={"max_attempts": 1})
    drain(plan, batch(*of_key("dead", 1, 2)))
    turns(plan)
    drain(plan, batch(*of_key("k", 1), *of_key("g", 2, 3), start=2))

    found = parked_status(any_service.database)
    assert set(found) == {(GROUP, DESTINATION)}
    status = found[GROUP, DESTINATION]
    assert (status.keys, status.gaps, status.dead, status.messages) == (2, 1, 1, 5)
    assert status.oldest_ms is not None
    assert 0 <= status.oldest_ms < 60_000
    assert [each.state for each in parked_reasons(any_service.database, limit=9)] == ["dead", "retry", "gap"]
    assert not ParkedStatus()


def test_parking_without_a_database_is_a_finding_with_the_remedy(sync_service: Service) -> None:
    def no_session(event: Event) -> None:
        pass

    with pytest.raises(ConfigurationError) as raised:
        sync_service.plan(no_session, on_error="park")
    (finding,) = raised.value.findings
    assert "consumer.on-error is park" in finding.text
    assert "take one, or set on-error to dlq, stop or skip" in finding.text


@pytest.mark.parametrize("with_letters", [False, True])
def test_where_the_positions_are_in_the_database_parking_is_the_default(
    sync_service: Service, with_letters: bool
) -> None:
    from tests.integration.inbound.service import Letters

    letters = Letters() if with_letters else None
    plan = sync_service.plan(Poison(("k", 1)), letters=letters, on_error=None, max_attempts=1)
    drain(plan, batch(*of_key("k", 1)))
    assert bool(parked_keys(sync_service)) is not with_letters
    assert (plan.statistics.figures().dead_lettered == 1) is with_letters
