"""Messages whose headers the client cannot read; the sequence guard would look at them."""

from __future__ import annotations

from streambind.binding.outcome import Outcome
from tests.integration.inbound.service import Letters, Service, drain, event
from tests.unit.inbound.batches import ListBatch, Record, numbered


def _kinds(outcomes: list[Outcome]) -> list[tuple[int, str]]:
    return [(outcome.done, type(outcome.then).__name__) for outcome in outcomes]


def test_a_message_whose_headers_cannot_be_read_is_dead_lettered_without_them(any_service: Service) -> None:
    letters = Letters()
    plan = any_service.keeping(letters=letters)
    unreadable = Record(b'{"key": "k", "number": 2}', b"k", unreadable=True)
    first, last = (numbered(event("k", n), "k", n) for n in (1, 2))

    outcomes = drain(plan, ListBatch([first, unreadable, last]))

    assert _kinds(outcomes) == [(2, "Continue"), (1, "Continue")]
    assert any_service.effects() == [("k", 1), ("k", 2)]
    assert any_service.guarded() == {b"k": (1, 2)}
    assert [(letter.payload, letter.key) for letter in letters.sent] == [(unreadable.payload, b"k")]
    names = [name for name, _ in letters.sent[0].raw_headers]
    assert names[:4] == ["sb-dlq-attempts", "sb-dlq-first-failure", "sb-dlq-group", "x-original-topic"]
    assert len(names) == 11


def test_a_message_whose_headers_cannot_be_read_may_stop_the_partition(any_service: Service) -> None:
    plan = any_service.keeping()

    outcomes = drain(plan, ListBatch([Record(b"{}", b"k", unreadable=True)]))

    assert _kinds(outcomes) == [(0, "Stop")]
    assert any_service.position() == 0
