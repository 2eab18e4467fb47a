"""What the demo shows: a change in one service, the record on the topic, the other service's answer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from streambind.binding.binder import Binder
from streambind.cli.demo_services import BETWEEN_S, Answer, DemoError, Service, compact
from streambind.cli.output import line, out, write
from streambind.cli.tail_view import header_lines, message_lines
from streambind.message import Message

WITHIN_S = 10.0
_TIMEOUT_MS = 10_000
_INDENT = " " * 11


class Story:
    """`tell` does the steps one after the other; `step` names the one at work."""

    def __init__(self, category: Service, lecture: Service, binder: Binder, topic: str) -> None:
        self.step = ""
        self.category = category
        self.lecture = lecture
        self._binder = binder
        self.topic = topic
        self._positions: dict[int, int] = {}

    def tell(self) -> None:
        """
        Raises:
            DemoError: a step did not come out right.
        """
        first = self._create("최종테스트")
        second = self._create("Python 입문")
        self._change(first, "바뀐이름")
        self._delete(second)

    def _create(self, name: str) -> int:
        self._begin(f"create a category {name!r}")
        answer = self._do("POST", "/lectureCategories", {"categoryName": name}, expected=201)
        category_id: int = answer.body["categoryId"]
        self._follow(category_id, name)
        return category_id

    def _change(self, category_id: int, name: str) -> None:
        self._begin(f"change the name of category {category_id}")
        self._do("PUT", f"/lectureCategories/{category_id}", {"categoryName": name}, expected=200)
        self._follow(category_id, name)

    def _delete(self, category_id: int) -> None:
        self._begin(f"delete category {category_id}")
        self._do("DELETE", f"/lectureCategories/{category_id}", None, expected=204)
        self._follow(category_id, None)

    def _begin(self, step: str) -> None:
        self.step = step
        write("\n[bold]{}[/bold]", step)

    def _do(self, method: str, path: str, body: Mapping[str, Any] | None, *, expected: int) -> Answer:
        answer = self.category.call(method, path, body)
        if body is None:
            say("category", f"{method} {path} -> {answer}")
        else:
            say("category", f"{method} {path} {compact(body)}")
            write("{}-> {}", _INDENT, answer)
        if answer.status != expected:
            raise DemoError(f"{method} {path} -> {expected}", str(answer), self.category)
        return answer

    def _follow(self, category_id: int, name: str | None) -> None:
        """Show the record, then wait until the lecture service answers with this name (None: with 404)."""
        with waiting("waiting for the record"):
            message = self._next_record()
        where, payload = message_lines(message)
        out.print(line("[cyan]topic[/cyan]      ").append_text(where))
        for header in header_lines(message):
            out.print(Text(_INDENT).append_text(header))
        out.print(Text(_INDENT).append_text(payload))
        with waiting("waiting for the lecture service"):
            answer = self._lecture_answer(f"/readCategories/{category_id}", name)
        say("lecture", f"GET /readCategories/{category_id} -> {answer}")

    def _next_record(self) -> Message:
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            info = self._binder.describe(self.topic, _TIMEOUT_MS)
            for partition, start in () if info is None else info.starts.items():
                self._positions.setdefault(partition, start)
            ends = {} if info is None else info.ends
            behind = {p: at for p, at in self._positions.items() if at < ends.get(p, 0)}
            for message in self._binder.read(self.topic, behind, _TIMEOUT_MS) if behind else ():
                self._positions[message.partition or 0] = (message.offset or 0) + 1
                return message
            time.sleep(BETWEEN_S)
        raise DemoError(f"a record on topic {self.topic}", f"none within {WITHIN_S:.0f} s", self.category)

    def _lecture_answer(self, path: str, name: str | None) -> Answer:
        deadline = time.monotonic() + WITHIN_S
        while True:
            answer = self.lecture.call("GET", path)
            if answer.status == 404 if name is None else (answer.body or {}).get("categoryName") == name:
                return answer
            if time.monotonic() > deadline:
                wanted = "404" if name is None else f"200 with the name {name!r}"
                got = f"still {answer} after {WITHIN_S:.0f} s"
                raise DemoError(f"GET {path} -> {wanted}", got, self.lecture)
            time.sleep(BETWEEN_S)


def say(who: str, text: str) -> None:
    """A line of one of those who take part."""
    write("[cyan]{}[/cyan]  {}", f"{who:<9}", text)


def waiting(text: str) -> contextlib.AbstractContextManager[object]:
    """On a terminal, `text` stands at the bottom until the block ends."""
    return out.status(text) if out.is_terminal else contextlib.nullcontext()
