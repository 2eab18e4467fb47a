"""Listeners that keep what they are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streambind.binding.outcome import Outcome, Stop
from streambind.event import EntityEvent
from tests.unit.inbound.planning import Seen

seen = Seen()


class CategoryChanged(EntityEvent, event_type="LectureCategoryChanged"):
    category_id: int
    category_name: str


@dataclass
class Point:
    x: int
    y: int


DOCUMENT = {
    "eventType": "LectureCategoryChanged",
    "timestamp": "2022-08-08-12:12:37",
    "jobType": "INSERT",
    "categoryId": 2,
    "categoryName": "최종테스트",
}


def error_of(outcome: Outcome) -> str:
    assert isinstance(outcome.then, Stop), outcome
    return str(outcome.then.error)


def takes_event(event: CategoryChanged) -> None:
    seen.append(event)


def takes_dict(event: dict[str, Any]) -> None:
    seen.append(event)


def takes_point(event: Point) -> None:
    seen.append(event)


def takes_text(event: str) -> None:
    seen.append(event)


def takes_bytes(event: bytes) -> None:
    seen.append(event)
