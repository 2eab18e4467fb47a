"""Replayed letters join the parked messages of their key: handled once, in order, and never over later events."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from streambind.binding.outcome import Continue, Outcome
from streambind.configuration.properties import DeadLetterFormat, ParkingProperties
from streambind.errors import PermanentError
from streambind.inbound.dead_letter import Failure, dead_letter
from streambind.inbound.delivery_positions import DatabaseEffects
from streambind.inbound.input import InputPlan
from streambind.inbound.letter import Cause, Letter, read_letter
from streambind.inbound.letter_replay import LetterReplay
from streambind.inbound.parked_batch import ParkedBatch
from streambind.inbound.parked_keys import ParkedKeys
from streambind.inbound.parked_messages import ParkedMessages
from streambind.inbound.replay import MAX_REPLAYS, ReplayOutcome
from streambind.message import Message
from tests.integration.inbound.parking import turns
from tests.integration.inbound.service import DESTINATION, GROUP, Event, Letters, Service, drain, event, keep
from tests.unit.inbound.batches import ListBatch, Record, numbered


def things(*numbers: int, start: int = 0, partition: int = 0) -> ListBatch:
    return ListBatch([numbered(event("k", n), "k", n) for n in numbers], start, partition=partition)


class Failing:
    """A listener that fails at some numbers until it is mended."""

    def __init__(self, service: Service, *poison: int) -> None:
        self.service = service
        self.poison = set(poison)
        self.letters = Letters()
        self.plan: InputPlan = service.keeping(self.handle, letters=self.letters)

    def handle(self, event: Event, session: Session) -> None:
        keep(event, session)
        if event.number in self.poison:
            raise PermanentError("poison")

    def dead(self, offset: int = 0) -> list[Letter]:
        """The letters as they stand on their destination, from the offset on."""
        return [
            read_letter(
                Message(
                    letter.payload,
                    letter.key,
                    raw_headers=letter.raw_headers,
                    destination="error.things.readers",
                    partition=0,
                    offset=offset + index,
                    timestamp_ms=1000 + index,
                )
            )
            for index, letter in enumerate(self.letters.sent)
        ]


def replaying(service: Service, **settings: Any) -> LetterReplay:
    limits = settings.pop("limits", ParkingProperties())
    return LetterReplay(service.database, GROUP, (DESTINATION,), limits, numbered=True, actor="ann")


@pytest.mark.parametrize("poison", [1, 3])
def test_it_takes_the_place_that_it_left(any_service: Service, poison: int) -> None:
    failing = Failing(any_service, poison)
    drain(failing.plan, things(*range(1, poison + 1)))
    [letter] = failing.dead()
    failing.poison.clear()

    assert replaying(any_service).replay([letter]) == [ReplayOutcome.REPLAYED]
    # What comes before the worker has looked waits behind it.
    assert failing.plan.deliver(things(poison + 1, start=poison)) == Outcome(1, Continue())
    turns(failing.plan)

    assert any_service.effects() == [("k", n) for n in range(1, poison + 2)]
    assert any_service.guarded() == {b"k": (1, poison + 1)}
    assert any_service.count(any_service.database.tables.parked_key) == 0
    assert replaying(any_service).replay([letter]) == [ReplayOutcome.KNOWN]
    assert replaying(any_service).known() == {("error.things.readers", 0, 0, 1000): "replayed"}


def test_it_does_not_undo_what_later_events_have_done(any_service: Service) -> None:
    failing = Failing(any_service, 2)
    drain(failing.plan, things(1, 2, 3))
    [letter] = failing.dead()
    failing.poison.clear()
    replay = replaying(any_service)

    assert replay.replay([letter]) == [ReplayOutcome.SUPERSEDED]
    assert (replay.known(), any_service.guarded()) == ({}, {b"k": (1, 3)})
    assert replay.replay([letter], force=True, dry_run=True) == [ReplayOutcome.REPLAYED]
    assert replay.known() == {}
    assert replay.replay([letter], force=True) == [ReplayOutcome.REPLAYED]
    turns(failing.plan)

    assert any_service.effects() == [("k", 1), ("k", 3), ("k", 2)]
    assert any_service.guarded() == {b"k": (1, 3)}


def test_several_letters_of_a_key_come_in_order(any_service: Service) -> None:
    failing = Failing(any_service, 2, 3)
    drain(failing.plan, things(1, 2, 3))
    second, third = failing.dead()
    failing.poison.clear()
    replay = replaying(any_service)

    assert replay.replay([second]) == [ReplayOutcome.SUPERSEDED]
    assert replay.replay([second, third]) == [ReplayOutcome.REPLAYED] * 2
    turns(failing.plan)

    assert any_service.effects() == [("k", 1), ("k", 2), ("k", 3)]


def test_a_delivery_that_holds_the_next_event_waits_behind_the_letter(make_database: Any) -> None:
    """The race that a mere look at the number would lose."""
    service = Service(make_database("postgresql+psycopg"))
    failing = Failing(service, 1)
    drain(failing.plan, things(1))
    [letter] = failing.dead()
    failing.poison.clear()
    inside, replayed = threading.Event(), threading.Event()

    def slow(event: Event, session: Session) -> None:
        keep(event, session)
        if not replayed.is_set():
            inside.set()
            replayed.wait(20)

    # The next event came by another partition: the key's parked row is not there yet when it looks.
    other = service.keeping(slow, letters=Letters(), adopt=None)
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.extend(drain(other, things(2, partition=1))))
    thread.start()
    assert inside.wait(20)
    found: list[ReplayOutcome] = []
    replay = threading.Thread(target=lambda: found.extend(replaying(service).replay([letter])))
    replay.start()
    replayed.set()
    thread.join(20)
    replay.join(20)
    turns(failing.plan)

    # Whoever was first: never the letter after the later event.
    assert found in ([ReplayOutcome.SUPERSEDED], [ReplayOutcome.REPLAYED])
    expected = [("k", 2)] if found == [ReplayOutcome.SUPERSEDED] else [("k", 1), ("k", 2)]
    assert service.effects() == expected


@pytest.mark.parametrize("fails", [False, True])
def test_an_event_that_looked_before_its_letter_was_replayed_waits_behind_it(
    any_service: Service, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    failing = Failing(any_service, 1)
    drain(failing.plan, things(1))
    [letter] = failing.dead()
    failing.poison = {2} if fails else set()
    assert replaying(any_service).replay([letter]) == [ReplayOutcome.REPLAYED]
    look, looked = ParkedKeys.waiting, [0]

    def late(self: ParkedKeys, *arguments: Any) -> Any:
        looked[0] += 1
        return [] if looked[0] == 1 else look(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(ParkedKeys, "waiting", late)
        assert failing.plan.deliver(things(2, start=1)) == Outcome(0, Continue())
    assert failing.plan.deliver(things(2, start=1)) == Outcome(1, Continue())
    failing.poison.clear()
    turns(failing.plan)

    assert any_service.effects() == [("k", 1), ("k", 2)]
    assert len(failing.letters.sent) == 1


def test_an_event_that_is_given_up_while_a_letter_of_its_key_is_replayed_waits_behind_it(
    any_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(any_service, 1, 2)
    drain(failing.plan, things(1))
    [letter] = failing.dead()
    pass_over = DatabaseEffects.pass_over

    def replayed_first(self: DatabaseEffects, *arguments: Any) -> None:
        assert replaying(any_service).replay([letter]) == [ReplayOutcome.REPLAYED]
        pass_over(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(DatabaseEffects, "pass_over", replayed_first)
        assert failing.plan.deliver(things(2, start=1)) == Outcome(1, Continue())
    failing.poison.clear()
    turns(failing.plan)

    assert any_service.effects() == [("k", 1), ("k", 2)]
    assert len(failing.letters.sent) == 1


def test_a_message_without_a_number_is_handled_again_and_not_for_ever(any_service: Service) -> None:
    failing = Failing(any_service, 7)
    drain(failing.plan, ListBatch([Record(b'{"key": "k", "number": 7}', b"k")]))
    replay = replaying(any_service)

    for round_ in range(MAX_REPLAYS):
        [letter] = failing.dead(round_)
        assert replay.replay([letter]) == [ReplayOutcome.REPLAYED]
        _forget_parked(any_service)  # As if it had failed again and become another letter.
    [letter] = failing.dead(MAX_REPLAYS)
    assert replay.replay([letter]) == [ReplayOutcome.LOOPING]
    assert replay.replay([letter], force=True) == [ReplayOutcome.REPLAYED]
    failing.poison.clear()
    turns(failing.plan)

    assert any_service.effects() == [("k", 7)]


def test_letters_of_others_and_of_nowhere_are_left_alone(any_service: Service) -> None:
    message = Message(b"{}", b"k", destination="elsewhere", partition=0, offset=0, timestamp_ms=1)
    mine = Message(b"{}", b"k", destination=DESTINATION, partition=0, offset=0, timestamp_ms=1)

    def letter(came: Message, group: str = GROUP) -> Letter:
        failure = Failure(ValueError("x"), 1, 1)
        return read_letter(dead_letter(came, failure, form=DeadLetterFormat.SPRING_KAFKA, group=group))

    replay = replaying(any_service)
    for foreign in (letter(message), letter(mine, "others"), read_letter(Message(b"{}", b"k"))):
        assert replay.replay([foreign], force=True) == [ReplayOutcome.FOREIGN]
    full = replaying(any_service, limits=ParkingProperties(max_keys=1))
    other = Message(b"{}", b"other", destination=DESTINATION, partition=0, offset=1, timestamp_ms=1)
    assert full.replay([letter(mine)]) == [ReplayOutcome.REPLAYED]
    assert full.replay([letter(other)]) == [ReplayOutcome.FULL]
    assert replay.skip(letter(mine)) is False


def _forget_parked(service: Service) -> None:
    tables = service.database.tables
    service.database.run(lambda c: [c.execute(table.delete()) for table in (tables.parked, tables.parked_key)])
    assert service.database.run(lambda c: c.execute(select(tables.parked)).first()) is None


def test_a_copy_of_a_letter_that_was_handled_is_known(any_service: Service) -> None:
    """As a relay leaves it that died after the broker's confirmation: another place, the same event."""
    failing = Failing(any_service, 1)
    drain(failing.plan, things(1))
    [letter], [copy] = failing.dead(), failing.dead(offset=7)
    failing.poison.clear()
    replay = replaying(any_service)

    assert replay.replay([letter]) == [ReplayOutcome.REPLAYED]
    turns(failing.plan)
    assert replay.replay([copy]) == [ReplayOutcome.KNOWN]
    turns(failing.plan)

    assert any_service.effects() == [("k", 1)]


def test_a_letter_of_what_a_new_read_model_has_handled_is_known(any_service: Service) -> None:
    failing = Failing(any_service, 2)
    drain(failing.plan, things(1, 2))
    [letter] = failing.dead()
    failing.poison.clear()
    any_service.database.run(lambda c: c.execute(delete(any_service.database.tables.guard)))
    any_service.forget_positions()
    rebuilt = any_service.keeping(failing.handle)
    drain(rebuilt, things(1, 2))

    assert replaying(any_service).replay([letter]) == [ReplayOutcome.KNOWN]
    turns(rebuilt)
    assert any_service.effects() == [("k", 1), ("k", 1), ("k", 2)]


def test_what_was_left_out_may_come_back_as_long_as_nothing_later_was_applied(any_service: Service) -> None:
    """As an import of what was exported before."""
    failing = Failing(any_service, 2)
    plan = any_service.keeping(failing.handle, on_error="park", max_attempts=1)
    drain(plan, things(1, 2))
    stored = ParkedMessages(any_service.database, GROUP, (DESTINATION,), numbered=True, actor="ann")
    [waiting] = stored.messages()
    assert stored.skip(waiting.queue, [waiting.message.id]) == 1
    assert any_service.guarded() == {b"k": (1, 2)}
    failing.poison.clear()
    stands = Message(None, destination="parked", partition=0, offset=waiting.message.id, timestamp_ms=0)
    came = ParkedBatch(waiting.message).message(0)
    letter = Letter(came, stands, Cause("ValueError", "poison", ""), None, GROUP, None, None)

    assert replaying(any_service).replay([letter]) == [ReplayOutcome.REPLAYED]
    turns(plan)

    assert any_service.effects() == [("k", 1), ("k", 2)]
    assert replaying(any_service).replay([letter]) == [ReplayOutcome.KNOWN]
