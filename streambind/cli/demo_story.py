"""What the demo shows: a change in one service, the record on the topic, the other service's answer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from rich.text import Text

from streambind.binding.binder import Binder
from streambind.cli.demo_change import Change, told
from streambind.cli.demo_services import BETWEEN_S, DemoError, Service, compact
from streambind.cli.output import line, out, write
from streambind.cli.tail_view import header_lines, message_lines
from streambind.event import JobType
from streambind.message import Message

WITHIN_S = 10.0
_TIMEOUT_MS = 10_000
_INDENT = " " * 11
Found = TypeVar("Found")


class Story:
    """`tell` does the steps one after the other; `step` names the one at work."""

    def __init__(
        self, category: Service, lecture: Service, binder: Binder, topic: str, *, within_s: float = WITHIN_S
    ) -> None:
        """The services are new: their databases give the numbers 1 and 2."""
        self.step = ""
        self.category = category
        self.lecture = lecture
        self._binder = binder
        self.topic = topic
        self._within_s = within_s
        self._positions: dict[int, int] = {}

    def tell(self) -> None:
        """
        Raises:
            DemoError: a step did not come out right.
        """
        self._create(Change(JobType.INSERT, 1, "최종테스트"))
        self._create(Change(JobType.INSERT, 2, "Python 입문"))
        self._change(Change(JobType.UPDATE, 1, "바뀐이름"))
        self._delete(Change(JobType.DELETE, 2, "Python 입문"))
        self._end()

    def _create(self, change: Change) -> None:
        self._begin(f"create a category {change.name!r}")
        self._do("POST", "/lectureCategories", {"categoryName": change.name}, change)

    def _change(self, change: Change) -> None:
        self._begin(f"change the name of category {change.category_id}")
        self._do("PUT", f"/lectureCategories/{change.category_id}", {"categoryName": change.name}, change)

    def _delete(self, change: Change) -> None:
        self._begin(f"delete category {change.category_id}")
        self._do("DELETE", f"/lectureCategories/{change.category_id}", None, change)

    def _begin(self, step: str) -> None:
        self.step = step
        write("\n[bold]{}[/bold]", step)

    def _do(self, method: str, path: str, body: Mapping[str, Any] | None, change: Change) -> None:
        """Ask for the change and follow it: the answer, the record, the answer of the other service."""
        answer = self.category.call(method, path, body)
        if body is None:
            say("category", f"{method} {path} -> {answer}")
        else:
            say("category", f"{method} {path} {compact(body)}")
            write("{}-> {}", _INDENT, answer)
        if answer != change.category_answer():
            raise DemoError(f"{method} {path} -> {change.category_answer()}", str(answer), self.category)
        self._follow_record(change)
        self._follow_answer(change)

    def _follow_record(self, change: Change) -> None:
        with waiting("waiting for the record"):
            message = self._next_record()
        where, payload = message_lines(message)
        out.print(line("[cyan]topic[/cyan]      ").append_text(where))
        for header in header_lines(message):
            out.print(Text(_INDENT).append_text(header))
        out.print(Text(_INDENT).append_text(payload))
        if told(message) != change.record():
            raise DemoError(change.record(), told(message), self.category)

    def _follow_answer(self, change: Change) -> None:
        path = f"/readCategories/{change.category_id}"
        expected = change.lecture_answer(self.lecture.url + path)
        with waiting("waiting for the lecture service"):
            got = self._until(lambda: self.lecture.call("GET", path), lambda answer: answer == expected)
        if got != expected:
            still = f"still {got} after {self._within_s:g} s"
            raise DemoError(f"GET {path} -> {expected}", still, self.lecture)
        say("lecture", f"GET {path} -> {got}")

    def _end(self) -> None:
        """Nothing is left to be sent, and the topic holds no record but those that were shown."""
        self.step = "nothing but these records was published"
        with waiting("waiting for the outbox"):
            backlog = self._until(self._backlog, lambda rows: rows == 0)
        if backlog != 0:
            raise DemoError("a backlog of 0", f"{backlog} after {self._within_s:g} s", self.category)
        surplus = [told(message) for message in self._unread()]
        if surplus:
            raise DemoError("no further record", surplus[0], self.category)

    def _backlog(self) -> object:
        answer = self.category.call("GET", "/health/")
        return str(answer) if answer.body is None else answer.body["outbox"]["backlog"]

    def _next_record(self) -> Message:
        records = self._until(self._unread, bool)
        if not records:
            raise DemoError(f"a record on topic {self.topic}", f"none within {self._within_s:g} s", self.category)
        self._positions[records[0].partition or 0] = (records[0].offset or 0) + 1
        return records[0]

    def _unread(self) -> Sequence[Message]:
        """What the topic holds beside the records that were shown."""
        info = self._binder.describe(self.topic, _TIMEOUT_MS)
        if info is None:
            return ()
        for partition, start in info.starts.items():
            self._positions.setdefault(partition, start)
        behind = {p: at for p, at in self._positions.items() if at < info.ends.get(p, 0)}
        return self._binder.read(self.topic, behind, _TIMEOUT_MS) if behind else ()

    def _until(self, ask: Callable[[], Found], right: Callable[[Found], bool]) -> Found:
        """The first answer that is right, else the last one within the time."""
        deadline = time.monotonic() + self._within_s
        while not right(found := ask()) and time.monotonic() < deadline:
            time.sleep(BETWEEN_S)
        return found


def say(who: str, text: str) -> None:
    """A line of one of those who take part."""
    write("[cyan]{}[/cyan]  {}", f"{who:<9}", text)


def waiting(text: str) -> contextlib.AbstractContextManager[object]:
    """On a terminal, `text` stands at the bottom until the block ends."""
    return out.status(text) if out.is_terminal else contextlib.nullcontext()
