"""Values in a replica's event: its row is written or refused by name, its neighbours are written, and the table
can be read by everybody afterwards."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from streambind.binding.outcome import Continue
from tests.integration.inbound.replicas import Article, Kept, changed, rows
from tests.integration.inbound.service import Service, drain
from tests.unit.inbound.batches import ListBatch, Record

ARTICLE = {
    "jobType": "INSERT",
    "tenant": "t",
    "number": 2,
    "title": "abc",
    "colour": "red",
    "token": "6a1f0c1e-0000-4000-8000-000000000001",
    "made": "2026-01-31T12:00:00Z",
    "amount": "1.5",
    "attributes": {},
}


def article(**values: Any) -> Record:
    fields = {**ARTICLE, **values}
    return Record(json.dumps(fields).encode(), f'["t",{fields["number"]}]'.encode())


@pytest.mark.parametrize(
    "values",
    [
        {"tenant": "k" * 5_000},
        {"tenant": "a\0b"},
        {"title": "a\0b"},
        {"title": "x" * 1_000_000},
        {"title": "\ud800"},
        {"title": '{"a",\\b}","'},
        {"title": "NULL"},
        {"number": 2**63},
        {"number": 10**4000},
        {"made": "0001-01-01T00:00:00+14:00"},
        {"made": "9999-12-31T23:59:59-14:00"},
        {"amount": "1e400"},
        {"amount": "NaN"},
        {"attributes": {"a": [float("nan"), "\0"]}},
        {"jobType": "insert"},
        {"jobType": ["DELETE"]},
    ],
    ids=lambda values: "{}={:.20}".format(*next((name, repr(value)) for name, value in values.items())),
)
def test_a_value_harms_nobody_but_its_own_message(any_service: Service, values: dict[str, Any]) -> None:
    plan = any_service.plan(Article, on_error="skip", max_attempts=1)
    outcomes = drain(plan, ListBatch([article(number=1), article(**values), article(number=3)]))
    assert isinstance(outcomes[-1].then, Continue)
    found = {row[1] for row in rows(any_service, select(Article))}
    assert {1, 3} <= found


@pytest.mark.parametrize("timestamp_ms", [-1, 0, 253402300799999, 253402300800000, 2**63 - 1, -(2**63)])
def test_a_records_time_harms_nobody_but_its_own_message(any_service: Service, timestamp_ms: int) -> None:
    """A soft delete writes it."""
    plan = any_service.plan(Kept, on_error="skip", max_attempts=1)
    gone = replace(changed("DELETE", 1, seq=2), timestamp_ms=timestamp_ms)
    records = [changed("INSERT", 1, "a", seq=1), gone, changed("INSERT", 2, "b", seq=1)]
    outcomes = drain(plan, ListBatch(records))
    assert isinstance(outcomes[-1].then, Continue)
    assert [kept for kept, _ in rows(any_service, select(Kept.id, Kept.deleted_at).order_by(Kept.id))] == [1, 2]
