"""Dead letters of effects in a database: in the outbox, in the transaction that moves the position."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from streambind.application.dead_letters import LetterRoute, PlannedDeadLetters
from streambind.application.links import Links
from streambind.binding.outcome import Continue, Outcome, RetryAfter
from streambind.configuration.properties import DeadLetterFormat
from streambind.errors import PermanentError
from streambind.failpoints import FailpointError
from streambind.inbound import delivery_positions
from streambind.inbound.letter import read_letter
from streambind.message import Message
from streambind.outbound.outbox import Outbox
from streambind.outbound.wire_message import OutboxRow, Source, row_message
from tests.integration.inbound.service import DESTINATION, GROUP, Event, Service, event, keep
from tests.unit.inbound.batches import ListBatch, Record, numbered

ROUTE = LetterRoute(
    binding="in-things",
    binder="memory",
    group=GROUP,
    destinations={DESTINATION: "error.things.readers"},
    format=DeadLetterFormat.SPRING_CLOUD_STREAM,
    partition_for=lambda partition: partition + 5,
)


def letters_of(service: Service) -> PlannedDeadLetters:
    return PlannedDeadLetters(ROUTE, Links(), Outbox(service.database))


def written(service: Service) -> list[OutboxRow]:
    columns = [service.database.tables.outbox.c[name] for name in OutboxRow._fields]
    query = select(*columns).order_by(columns[0])
    return service.database.run(lambda c: [OutboxRow(*row) for row in c.execute(query)])


def sent(service: Service) -> list[Message]:
    return [row_message(row, Source("source", 1)) for row in written(service)]


def poison(event: Event, session: Session) -> None:
    keep(event, session)
    if event.number == 2:
        raise PermanentError("poison")


def things(*numbers: int, start: int = 0) -> ListBatch:
    return ListBatch([numbered(event("k", n), "k", n) for n in numbers], start)


def test_the_outbox_gets_the_letter_with_the_move_of_the_position(service: Service) -> None:
    plan = service.keeping(poison, letters=letters_of(service))
    batch = things(1, 2, 3)

    assert plan.deliver(batch) == Outcome(2, Continue())

    assert service.position() == 2
    assert service.effects() == [("k", 1)]
    assert service.guarded() == {b"k": (1, 2)}
    [row] = written(service)
    assert (row.destination, row.partition, row.key) == ("error.things.readers", 5, b"k")
    assert (row.seq, row.event_id) == (None, None)
    [message] = sent(service)
    came = batch.message(1)
    assert message.partition == 5
    assert list(message.raw_headers[: len(came.raw_headers)]) == list(came.raw_headers)
    letter = read_letter(message)
    assert (letter.message.offset, letter.message.payload, letter.group) == (1, came.payload, GROUP)
    assert list(letter.message.raw_headers) == list(came.raw_headers)
    assert service.commits == 2
    assert plan.statistics.figures().dead_lettered == 1


def test_a_transaction_that_does_not_come_about_leaves_neither(
    any_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(name: str) -> None:
        if name == "delivery.before_passing_over":
            raise FailpointError(name)

    plan = any_service.keeping(poison, letters=letters_of(any_service))
    with monkeypatch.context() as patched:
        patched.setattr(delivery_positions, "failpoint", fails)
        with pytest.raises(FailpointError):
            plan.deliver(things(1, 2, 3))
    assert (any_service.position(), written(any_service)) == (1, [])

    again = any_service.keeping(poison, letters=letters_of(any_service), adopt=None)
    assert again.deliver(things(2, 3, start=1)) == Outcome(1, Continue())
    assert (any_service.position(), len(written(any_service))) == (2, 1)


def test_a_zombie_writes_no_letter(any_service: Service) -> None:
    plan = any_service.keeping(_raises(ValueError("x")), letters=letters_of(any_service), max_attempts=2)
    assert isinstance(plan.deliver(things(1)).then, RetryAfter)
    any_service.move_position(7)

    outcome = plan.deliver(things(1))

    assert "Seek(offset=7)" in repr(outcome)
    assert (any_service.position(), written(any_service)) == (7, [])


def test_what_another_owner_has_handled_meanwhile_gets_no_letter(any_service: Service) -> None:
    """Its key's partition changed: the same event came to another owner by another partition."""

    class Overtakes(PlannedDeadLetters):
        @property
        def format(self) -> DeadLetterFormat:
            other = any_service.keeping(adopt=None)
            assert other.deliver(ListBatch(things(1).records, 0, partition=1)).done == 1
            return super().format

    overtakes = Overtakes(ROUTE, Links(), Outbox(any_service.database))
    plan = any_service.keeping(_raises(PermanentError("poison")), letters=overtakes)

    assert plan.deliver(things(1)) == Outcome(1, Continue())

    assert any_service.effects() == [("k", 1)]
    assert written(any_service) == []


@pytest.mark.parametrize(
    ("key", "payload"), [(None, b"{no json"), (b"k" * 5_000, b"{no json"), (b"", None), (b"\xff\x00", b"\x00")]
)
def test_any_bytes_survive(any_service: Service, key: bytes | None, payload: bytes | None) -> None:
    headers: list[tuple[str, bytes | None]] = [("h", b"\xff\x00"), ("n", None), ("h", b'"')]
    plan = any_service.keeping(letters=letters_of(any_service))

    outcome = plan.deliver(ListBatch([Record(payload, key, headers)]))

    assert outcome == Outcome(1, Continue())
    [message] = sent(any_service)
    came = read_letter(message).message
    assert (came.key, came.payload, list(came.raw_headers)) == (key, payload, headers)


def _raises(error: Exception) -> Any:
    def handle(event: Event, session: Session) -> None:
        keep(event, session)
        raise error

    return handle
