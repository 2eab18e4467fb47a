"""What a listener costs beside its own work, and what it must not read."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from datetime import UTC

import pytest

from streambind.event import TIME_ZONE, EntityEvent
from streambind.inbound.input import InputPlan
from streambind.message import RawHeaders
from tests.unit.inbound.batches import ListBatch, record
from tests.unit.inbound.planning import plan

ROUNDS = 100
REQUIRED = 0.6
"""Of the speed of a loop that does nothing but validate. Measured on an idle machine: 0.95."""


class CategoryChanged(EntityEvent):
    category_id: int
    category_name: str


def takes(event: CategoryChanged) -> None: ...


async def takes_async(event: CategoryChanged) -> None: ...


class _Record:
    """As a client hands it out: its value is a call away."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes | None) -> None:
        self._value = value

    def value(self) -> bytes | None:
        return self._value


class _LazyBatch(ListBatch):
    def payloads(self) -> list[bytes | None]:
        return [each.value() for each in RECORDS]

    def raw_headers(self, i: int) -> RawHeaders:
        raise AssertionError("nobody asked for headers")


DOCUMENTS = [
    {
        "eventType": "CategoryChanged",
        "timestamp": "2022-08-08-12:12:37",
        "jobType": "INSERT",
        "categoryId": number,
        "categoryName": f"number {number}",
    }
    for number in range(500)
]
BATCH = _LazyBatch([record(document) for document in DOCUMENTS])
RECORDS = [_Record(each.payload) for each in BATCH.records]


def _bare() -> None:
    validate = CategoryChanged.__pydantic_validator__.validate_json
    context = {TIME_ZONE: UTC}
    for each in RECORDS:
        validate(each.value(), context=context)  # type: ignore[arg-type]


def _delivers(inputs: InputPlan) -> Callable[[], None]:
    def run() -> None:
        assert inputs.deliver(BATCH).done == len(BATCH)

    return run


@pytest.mark.parametrize("listener", [takes, takes_async])
def test_a_listener_of_an_event_is_nearly_as_fast_as_validating_it(listener: Callable[..., object]) -> None:
    delivers = _delivers(plan(listener))
    best = {_bare: float("inf"), delivers: float("inf")}
    gc.disable()
    try:
        for _ in range(ROUNDS):  # In turns, the best of each, in processor time: other processes fall out.
            for work in best:
                started = time.process_time_ns()
                work()
                best[work] = min(best[work], time.process_time_ns() - started)
    finally:
        gc.enable()

    assert best[_bare] / best[delivers] >= REQUIRED
