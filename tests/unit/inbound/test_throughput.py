"""What a listener costs beside its own work, and what it must not read."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from datetime import UTC
from types import FrameType

import pytest

from streambind.event import TIME_ZONE, EntityEvent
from streambind.message import RawHeaders
from tests.unit.inbound.batches import ListBatch, record
from tests.unit.inbound.planning import LOOP, plan


class CategoryChanged(EntityEvent):
    category_id: int
    category_name: str


def takes(event: CategoryChanged) -> None: ...


async def takes_async(event: CategoryChanged) -> None: ...


def takes_many(events: list[CategoryChanged]) -> None: ...


async def takes_many_async(events: list[CategoryChanged]) -> None: ...


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
        assert i == len(RECORDS) - 1, "nobody asked for headers"
        return ()


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


def _calls(work: Callable[[], object]) -> int:
    """How many functions of Python's are called; not those that the collector calls, for what other tests left."""
    calls = 0

    def count(frame: FrameType, what: str, argument: object) -> None:
        nonlocal calls
        calls += what == "call"

    gc.disable()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls


@pytest.mark.parametrize(
    ("listener", "most"), [(takes, 0.5), (takes_async, 0.5), (takes_many, -0.5), (takes_many_async, -0.5)]
)
def test_few_functions_are_called_for_a_message_beside_its_validation(
    listener: Callable[..., object], most: float
) -> None:
    """That makes the difference between nearly as fast as validating and a tenth of it; seconds are measured in
    `make bench ARGS=inbound`. The bare loop asks each record for its value, and a listener is called for it."""
    inputs = plan(listener)
    inputs.deliver(BATCH)  # What is made once is made.

    # On the loop's thread, where coroutines run: of other threads' calls no profile hears.
    beside = LOOP.call(lambda: _calls(lambda: inputs.deliver(BATCH)) - _calls(_bare))

    assert most - 1 < beside / len(BATCH) < most
