"""What `streambind dlq` leaves alone, leaves out and takes its time for: letters of two groups on one topic, in
memory, and SQLite."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from streambind.binders.memory import MEMORY
from streambind.binding.binder import ProducerTarget
from streambind.binding.outcome import Sent
from streambind.cli import dlq_deeds
from streambind.configuration import ProducerProperties
from streambind.configuration.properties import DeadLetterFormat
from streambind.event_loop import EventLoop
from streambind.inbound.dead_letter import Failure, dead_letter
from streambind.inbound.replay import MAX_REPLAYS
from streambind.message import EVENT_ID, ORIGIN, Message
from streambind.origin import Origin
from streambind.persistence.database import Database
from streambind.persistence.schema import create_tables
from tests.acceptance.cli.conftest import Inside
from tests.acceptance.cli.dlq_service import said

CONFIGURATION = """
spring.cloud.stream:
  memory.binder.name: {topic}
  memory.bindings:
    in-a.consumer: {{enableDlq: true, dlqName: letters}}
    in-b.consumer: {{enableDlq: true, dlqName: letters}}
  defaultBinder: memory
  bindings:
    in-a: {{destination: things, group: a, consumer.parking.max-keys: 3}}
    in-b: {{destination: things, group: b}}
"""
DATASOURCE = "streambind.datasource.url: {url}\n"
SOURCE = "7d3a2c1e-0000-4000-8000-000000000001"


@dataclass
class Shelf:
    """The topic `letters`, and the database of both groups; `put` puts a letter of group a there."""

    shell: Inside
    topic: str
    database: Database

    def __post_init__(self) -> None:
        properties = MEMORY.binder_properties.model_validate({"name": self.topic})
        self.binder = MEMORY.create(properties)
        target = ProducerTarget("out-letters", "letters", ProducerProperties(), MEMORY.producer_properties())
        self.producer = self.binder.bind_producer(target)

    def put(self, offset: int, key: str = "k", *, destination: str = "things", **told: Any) -> None:
        """`seq`: the message's number; `group`: whose letter it is; `first_ms`: when it failed first; `copies`."""
        headers: list[tuple[str, bytes | None]] = []
        if (seq := told.get("seq")) is not None:
            origin = Origin(SOURCE, 1, destination, seq)
            headers = [(EVENT_ID, b"e%d" % seq), (ORIGIN, str(origin).encode())]
        place: dict[str, Any] = {"destination": destination, "partition": 0, "offset": offset, "timestamp_ms": 1}
        failed = Message(b"{}", key.encode(), raw_headers=headers, **place)
        failure = Failure(ValueError("no"), 3, told.get("first_ms", 1000 + offset))
        form = DeadLetterFormat.SPRING_CLOUD_STREAM
        letter = dead_letter(failed, failure, form=form, group=told.get("group", "a"))
        written = Message(letter.payload, letter.key, raw_headers=letter.raw_headers)
        for result in self.producer.send([written] * told.get("copies", 1)):
            assert isinstance(result, Sent)

    def has_applied(self, key: str, seq: int) -> None:
        """Group a has applied this number last."""
        last = {"source_id": SOURCE, "key": key.encode(), "epoch": 1, "seq": seq, "applied_seq": seq}
        self._insert("guard", group_name="a", destination="things", **last, updated_ms=1)

    def has_position(self, group: str) -> None:
        place = {"partition": 0, "next_offset": 9, "start": "earliest", "start_offset": 0, "updated_ms": 1}
        self._insert("position", group_name=group, destination="things", **place)

    def dlq(self, command: str, *arguments: object, code: int = 0) -> Any:
        """What the command has done."""
        result = self.shell.run("dlq", command, ".", *arguments, "--json")
        assert result.returncode == code, result.stdout + result.stderr
        return json.loads(result.stdout)

    def offsets(self, binding: str = "in-a") -> list[int]:
        """The messages of a binding's letters."""
        return [item["offset"] for item in self.dlq("ls", "--each", "--state", "open", "--binding", binding)]

    def ids(self, state: str) -> list[str]:
        return [item["id"] for item in self.dlq("ls", "--each", "--state", state, "--binding", "in-a")]

    def export(self) -> Path:
        file = self.shell.folder / "letters.jsonl"
        result = self.shell.run("dlq", "export", ".", "--binding", "in-a", "-o", file)
        assert result.returncode == 0, result.stderr
        return file

    def all_letters(self, command: str) -> list[object]:
        """The arguments with which the command is about all letters of group a."""
        which: dict[str, list[str]] = {
            "retry": [],
            "skip": self.ids("open"),
            "import": [str(self.export())],
        }
        return [*which[command], "--binding", "in-a"]

    def _insert(self, table: str, **values: Any) -> None:
        self.database.run(lambda c: c.execute(insert(getattr(self.database.tables, table)).values(**values)))


@dataclass
class Clock:
    """Time that passes in sleep only."""

    now: float = 100.0
    began: float = field(default=100.0, init=False)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    @property
    def passed(self) -> float:
        return self.now - self.began


@pytest.fixture
def shelf(inside: Inside, topic: str, tmp_path: Path) -> Iterator[Shelf]:
    url = f"sqlite:///{tmp_path}/service.db"
    inside.write({"application.yaml": CONFIGURATION.format(topic=topic) + DATASOURCE.format(url=url)})
    database = Database.from_url(url, loop=EventLoop())
    create_tables(database)
    shelf = Shelf(inside, topic, database)
    shelf.has_position("a")
    shelf.has_position("b")
    yield shelf
    shelf.binder.close(1000)
    database.dispose()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(dlq_deeds, "time", clock)
    return clock


def test_letters_of_the_other_group_are_neither_listed_nor_replayed(shelf: Shelf) -> None:
    shelf.put(1, "x", group="a")
    shelf.put(2, "y", group="b")

    assert (shelf.offsets("in-a"), shelf.offsets("in-b")) == ([1], [2])
    assert shelf.dlq("retry", "--binding", "in-a") == said(replayed=1)
    assert (shelf.offsets("in-a"), shelf.offsets("in-b")) == ([], [2])


def test_copies_that_a_relay_sent_twice_are_one_letter_and_later_failures_are_others(shelf: Shelf) -> None:
    shelf.put(1, first_ms=1000, copies=2)
    shelf.put(1, first_ms=2000)

    assert shelf.offsets() == [1, 1]
    assert [group["count"] for group in shelf.dlq("ls", "--binding", "in-a")] == [2]


@pytest.mark.parametrize("how", ["retry", "import"])
def test_what_later_events_have_superseded_is_left_alone_unless_forced(shelf: Shelf, how: str) -> None:
    shelf.put(1, seq=1)
    shelf.has_applied("k", 2)
    arguments = shelf.all_letters(how)

    assert shelf.dlq(how, *arguments, "--dry-run", code=1) == said(dry_run=True, superseded=1)
    assert shelf.dlq(how, *arguments, code=1) == said(superseded=1)
    assert shelf.offsets() == [1]
    assert shelf.dlq(how, *arguments, "--force") == said(replayed=1)
    assert (shelf.offsets(), len(shelf.ids("retry"))) == ([], 1)


def test_what_was_replayed_too_often_is_left_alone_unless_forced(shelf: Shelf) -> None:
    for time in range(MAX_REPLAYS):
        shelf.put(1, first_ms=1000 + time)
        assert shelf.dlq("retry")["replayed"] == 1
        assert shelf.dlq("skip", *shelf.ids("retry"))["skipped"] == 1
    shelf.put(1, first_ms=9000)

    assert shelf.dlq("retry", code=1) == said(looping=1)
    assert shelf.offsets() == [1]
    assert shelf.dlq("retry", "--force") == said(replayed=1)


def test_more_than_may_be_parked_is_left_alone(shelf: Shelf) -> None:
    for offset in range(4):
        shelf.put(offset, f"k{offset}")

    assert shelf.dlq("retry", code=1) == said(replayed=3, full=1)
    assert shelf.offsets() == [3]


def test_letters_of_another_destination_are_left_alone(shelf: Shelf) -> None:
    shelf.put(1, destination="elsewhere")

    assert shelf.dlq("retry", "--binding", "in-a", code=1) == said(foreign=1)
    assert shelf.dlq("retry", "--binding", "in-a", "--force", code=1) == said(foreign=1)
    assert shelf.offsets() == [1]


@pytest.mark.parametrize("command", ["retry", "skip", "import"])
def test_nothing_is_done_where_the_group_has_neither_positions_in_a_database_nor_replays(
    shelf: Shelf, command: str
) -> None:
    shelf.put(1)
    arguments = shelf.all_letters(command)
    shelf.shell.write({"application.yaml": CONFIGURATION.format(topic=shelf.topic)})

    result = shelf.shell.run("dlq", command, ".", *arguments)

    assert result.returncode == 1
    assert "set consumer.replay: true" in " ".join(result.stderr.split())


@pytest.mark.parametrize("command", ["retry", "skip", "import"])
def test_letters_take_the_time_that_the_rate_asks_for(shelf: Shelf, clock: Clock, command: str) -> None:
    for offset, key in enumerate("xyz"):
        shelf.put(offset, key)
    arguments = shelf.all_letters(command)

    shelf.dlq(command, *arguments, "--rate", 4, "--dry-run")
    assert clock.passed == 0
    shelf.dlq(command, *arguments, "--rate", 4)

    assert clock.passed == 2 / 4  # From the first one to the third.


def test_letters_of_a_key_are_replayed_at_once_and_the_rate_waited_for_after_them(
    shelf: Shelf, clock: Clock
) -> None:
    for offset, key in enumerate("xxxy"):
        shelf.put(offset, key)

    assert shelf.dlq("retry", "--rate", 4)["replayed"] == 4
    assert clock.passed == 3 / 4


@pytest.mark.parametrize("command", ["retry", "skip"])
def test_parked_keys_take_the_time_that_the_rate_asks_for(shelf: Shelf, clock: Clock, command: str) -> None:
    for offset, key in enumerate("xyz"):
        shelf.put(offset, key)
    assert shelf.dlq("retry")["replayed"] == 3
    assert clock.passed == 0

    shelf.dlq(command, "--state", "retry", "--rate", 0.5)

    assert clock.passed == 2 / 0.5
