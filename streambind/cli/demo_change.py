"""One change of a category in the demo: the record and the answers that it must lead to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from streambind.cli.demo_services import Answer, compact
from streambind.event import JobType
from streambind.message import CONTENT_TYPE, TYPE, Message

_TIME = re.compile(r'(?<="timestamp":)"\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d"')


@dataclass(frozen=True)
class Change:
    """A deleted category has its last name."""

    job_type: JobType
    category_id: int
    name: str

    def record(self) -> str:
        """What `told` must give of the record."""
        event = {
            "eventType": "LectureCategoryChanged",
            "timestamp": "<time>",
            "jobType": self.job_type,
            "categoryId": self.category_id,
            "categoryName": self.name,
        }
        return _told(
            str(self.category_id),
            [(CONTENT_TYPE, "application/json"), (TYPE, "LectureCategoryChanged")],
            compact(event),
        )

    def category_answer(self) -> Answer:
        """What the category service must answer."""
        if self.job_type is JobType.DELETE:
            return Answer(204, None)
        status = 201 if self.job_type is JobType.INSERT else 200
        return Answer(status, {"categoryId": self.category_id, "categoryName": self.name})

    def lecture_answer(self, url: str) -> Answer:
        """What the lecture service must answer at `url` once it has heard of it."""
        if self.job_type is JobType.DELETE:
            return Answer(404, None)
        here = {"href": url}
        return Answer(200, {"categoryName": self.name, "_links": {"self": here, "category": here}})


def told(message: Message) -> str:
    """The key, the headers that say what the record is, each as often as it is there, and the JSON as it travels
    but for the time, of which only the form counts."""
    headers = sorted((n, _text(value)) for n, value in message.raw_headers if n in (CONTENT_TYPE, TYPE))
    return _told(_text(message.key), headers, _TIME.sub('"<time>"', _text(message.payload)))


def _told(key: str, headers: list[tuple[str, str]], payload: str) -> str:
    return "  ".join([f"key={key}", *(f"{name}={value}" for name, value in headers), payload])


def _text(value: bytes | None) -> str:
    return "null" if value is None else value.decode(errors="backslashreplace")
