"""`streambind positions`, and the named states that it mends, on a real broker."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer

from streambind.binders.kafka import EmbeddedBroker, inquiries
from streambind.cli import positions_reset
from streambind.cli.positions_reset import Move
from streambind.errors import DatabaseUnavailableError
from streambind.inbound.stored_positions import reset_position
from streambind.testing.eventually import eventually
from tests.acceptance.cli.conftest import NOWHERE, Inside
from tests.acceptance.cli.pair import WITHIN_S, Pair


@pytest.fixture
def pair(inside: Inside, kafka: str, topic: str, tmp_path: Path) -> Pair:
    it = Pair(inside, kafka, topic, f"sqlite:///{tmp_path / 'source.db'}", f"sqlite:///{tmp_path / 'reader.db'}")
    it.write()
    return it


def test_it_shows_positions_beside_the_log(pair: Pair) -> None:
    pair.save(i1="a", i2="b")
    pair.send()
    pair.receive(i1="a", i2="b")
    pair.save(i3="c")
    pair.send()
    shown = pair.inside.run("positions", "show", "reader")
    assert shown.returncode == 0, shown.stdout
    (found,) = json.loads(pair.inside.run("positions", "show", "reader", "in-items", "--json").stdout)
    assert f"{pair.topic}[0]" in shown.stdout
    assert (found["position"], found["start"], found["end"], found["lag"], found["lost"]) == (2, 0, 3, 1, None)


def test_a_topic_made_anew_is_named_and_mended(pair: Pair) -> None:
    pair.save(i1="a", i2="b")
    pair.send()
    pair.receive(i1="a", i2="b")
    pair.save(i1="lost", i2="lost")
    pair.send()
    pair.make_topic_anew()
    pair.save(i1="aa", i3="c", i4="d")
    pair.send()

    shown = pair.inside.run("positions", "show", "reader")
    assert shown.returncode == 1
    assert "DestinationReplacedError" in shown.stdout
    assert "streambind positions reset TARGET in-items --to earliest" in shown.stdout
    status = pair.inside.run("status", "reader")
    assert status.returncode == 1
    assert status.stdout.startswith("down")
    assert "DestinationReplacedError" in status.stdout

    dry = pair.inside.run("positions", "reset", "reader", "in-items", "--to", "earliest", "--dry-run")
    assert dry.stdout == f"{pair.topic}[0]: 2 -> 0: leaves out what the replaced destination still held\n"
    assert pair.inside.run("positions", "show", "reader").returncode == 1
    done = pair.inside.run("positions", "reset", "reader", "in-items", "--to", "earliest")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("moved 1 position\n")
    assert pair.inside.run("positions", "show", "reader").returncode == 0
    # Number 2 of items 1 is lost with the old topic; number 3 is applied all the same.
    pair.receive(i1="aa", i2="b", i3="c", i4="d")


def test_what_retention_took_is_counted_and_left_out(pair: Pair) -> None:
    pair.save(i1="a")
    pair.send()
    pair.receive(i1="a")
    pair.save(i1="lost", i2="lost", i3="c")
    pair.save(i1="aa")
    pair.send()
    pair.delete_records(3)
    shown = pair.inside.run("positions", "show", "reader")
    assert shown.returncode == 1
    assert "the log begins at 3: 2 messages were lost to retention" in shown.stdout
    done = pair.inside.run("positions", "reset", "reader", "in-items", "--to", "earliest")
    assert "1 -> 3: leaves out 0 messages, 2 more are lost already" in done.stdout
    pair.receive(i1="aa", i3="c")


def test_a_running_instance_refuses_unless_forced_and_notices(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inquiries, "COMPARE_INTERVAL_S", 0.5)
    pair.save(i1="a", i2="b")
    pair.send()
    reader = pair.reader()
    with reader:
        pair.copied(reader, i1="a", i2="b")
        refused = pair.inside.run("positions", "reset", "reader", "in-items", "--to", "0")
        assert refused.returncode == 1
        assert "stop them, or use --force: what they have in hand is done before" in refused.stderr
        assert "(held by " in refused.stdout
        dry = pair.inside.run("positions", "reset", "reader", "in-items", "--to", "0", "--dry-run")
        assert dry.returncode == 0
        assert dry.stdout == f"{refused.stdout}would be refused  {refused.stderr.removeprefix('error  ')}"
        told = pair.inside.run("positions", "reset", "reader", "in-items", "--to", "0", "--json")
        assert (told.returncode, told.stderr) == (1, refused.stderr)
        (lane,) = json.loads(told.stdout)["partitions"]
        assert (lane["position"], lane["to"], lane["moved"]) == (2, 0, False)
        assert f"(held by {lane['held_by']})" in refused.stdout
        forced = pair.inside.run("positions", "reset", "reader", "in-items", "--to", "0", "--force")
        assert forced.returncode == 0
        shown, moved, note = forced.stdout.splitlines()
        assert "2 -> 0: 2 messages come again; numbers applied already are passed over (held by " in shown
        assert moved == "moved 1 position"
        assert note == "instances at work go on there with their next message, or within half a minute"
        eventually(
            lambda: (figures := reader.figures("in-items")) and figures.duplicates == 2,
            WITHIN_S,
            lambda: f"{reader.figures('in-items')}",
        )
    reader.engine.dispose()
    assert pair.copies() == {1: "a", 2: "b"}


def test_a_position_that_moves_meanwhile_is_moved_only_by_force(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.save(i1="a")
    pair.send()
    pair.save(i2="b", i3="c")
    reader = pair.reader()
    with reader:
        pair.copied(reader, i1="a")

        def goes_on(*arguments: Any) -> bool:
            """The reader is quicker than whoever looks first, and moves then."""
            if pair.waiting():
                pair.send()
                pair.copied(reader, **{f"i{key}": name for key, name in pair.items().items()})
            return reset_position(*arguments)

        monkeypatch.setattr(positions_reset, "reset_position", goes_on)
        reset = ("positions", "reset", "reader", "in-items", "--force", "--to")
        done = pair.inside.run(*reset, "earliest", "--json")
        assert done.returncode == 0, done.stderr
        (lane,) = json.loads(done.stdout)["partitions"]
        assert (lane["position"], lane["to"], lane["moved"]) == (3, 0, True)
        assert lane["effect"] == "3 messages come again; numbers applied already are passed over"
        pair.save(i4="d")
        done = pair.inside.run(*reset, "latest")
        assert "was at 4 by then: stays" in done.stdout
        monkeypatch.setattr(positions_reset, "_held", lambda *_: {})
        pair.save(i5="e")
        refused = pair.inside.run("positions", "reset", "reader", "in-items", "--to", "latest")
        assert refused.returncode == 1
        assert "moved: nothing; the other positions moved meanwhile: an instance works on them" in refused.stderr
    reader.engine.dispose()


def test_what_has_moved_before_the_database_went_away_is_told(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.save(i1="a")
    pair.send()
    reader = pair.reader()
    with reader:
        pair.copied(reader, i1="a")
    reader.engine.dispose()

    def partly(_target: object, _planned: object, moves: Sequence[Move], **_: object) -> Iterator[Move]:
        yield moves[0]
        raise DatabaseUnavailableError("gone")

    monkeypatch.setattr(positions_reset, "_moved", partly)
    monkeypatch.setattr(positions_reset, "_held", lambda *_: {})
    ended = pair.inside.run("positions", "reset", "reader", "in-items", "--to", "0")
    assert ended.returncode == 3
    assert ended.stderr == f"it ended in the middle; moved by then: {pair.topic}[0]\nerror  gone\n"


def test_a_time_is_a_place_too(pair: Pair) -> None:
    pair.save(i1="a")
    pair.send()
    pair.receive(i1="a")
    early = pair.inside.run("positions", "reset", "reader", "in-items", "--to", "2020-01-31", "--dry-run")
    late = pair.inside.run("positions", "reset", "reader", "in-items", "--to", "2199-01-31T00:00:00Z", "--dry-run")
    assert early.stdout.startswith(f"{pair.topic}[0]: 1 -> 0: ")
    assert late.stdout == f"{pair.topic}[0]: 1 -> 1: stays\n"


@pytest.fixture
def seoul(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Clocks on the wall are nine hours ahead of UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Seoul")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("seoul")
def test_a_time_leads_to_the_first_message_that_is_not_older_and_without_a_zone_is_utc(pair: Pair) -> None:
    pair.save(i1="a", i2="b")
    pair.send()
    between = datetime.now(UTC)
    pair.save(i3="c")
    pair.send()
    pair.receive(i1="a", i2="b", i3="c")
    for told in (between, between.replace(tzinfo=None), between.astimezone(timezone(timedelta(hours=-5)))):
        dry = pair.inside.run("positions", "reset", "reader", "in-items", "--to", told.isoformat(), "--dry-run")
        assert dry.stdout.startswith(f"{pair.topic}[0]: 3 -> 2: 1 message comes again;"), dry.stdout


def test_the_latest_place_leaves_out_what_is_not_handled_and_only_where_it_is_said(pair: Pair) -> None:
    pair.save(i1="a")
    pair.send()
    pair.receive(i1="a")
    pair.grow_topic(2)
    pair.save(i2="b", i3="c", i4="d", i5="e")
    pair.send()
    lanes = json.loads(pair.inside.run("positions", "show", "reader", "in-items", "--json").stdout)
    ends = {each["partition"]: each["end"] for each in lanes}
    assert all(ends.values())
    done = pair.inside.run("positions", "reset", "reader", "in-items", "--to", "latest", "--partition", "0")
    assert done.stdout.endswith("moved 1 position\n"), done.stdout
    lanes = json.loads(pair.inside.run("positions", "show", "reader", "in-items", "--json").stdout)
    assert [(each["partition"], each["position"]) for each in lanes] == [(0, ends[0]), (1, None)]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("in-items", "--to", "soon"), "neither earliest, latest, an offset nor a time such as"),
        (("in-items", "--to", "7"), "has 0 to 1, not 7; nothing was moved"),
        (("in-items", "--to", "0", "--partition", "5"), "has no such partition"),
        (
            ("out-nothing", "--to", "0"),
            "out-nothing is no input with a group; such are: in-items",
        ),
    ],
)
def test_mistakes_are_told(pair: Pair, arguments: tuple[str, ...], text: str) -> None:
    pair.save(i1="a")
    pair.send()
    result = pair.inside.run("positions", "reset", "reader", *arguments)
    assert result.returncode in (1, 2)
    assert text in result.stderr


def test_a_broker_that_is_away_exits_with_3(pair: Pair) -> None:
    pair.brokers = NOWHERE
    pair.write()
    assert pair.inside.run("positions", "show", "reader").returncode == 3


PLAIN = """\
spring.cloud.stream:
  kafka.binder.brokers: {brokers}
  bindings:
    in-items: {{destination: {topic}, group: {group}}}
"""


def test_a_dry_run_needs_no_force_where_the_broker_does_not_know_who_works(inside: Inside) -> None:
    with EmbeddedBroker() as broker:
        broker.create_topic("items")
        inside.write({"plain/application.yaml": PLAIN.format(brokers=broker.address, topic="items", group="g")})
        reset = ("positions", "reset", "plain", "in-items", "--to", "latest")
        dry = inside.run(*reset, "--dry-run")
        told = inside.run(*reset, "--dry-run", "--json")
        refused = inside.run(*reset)
    assert (dry.returncode, refused.returncode) == (0, 1)
    assert "would be refused  the broker cannot tell whether an instance works on these partitions" in dry.stdout
    document = json.loads(told.stdout)
    assert (document["dry_run"], document["holders_known"], document["positions_in"]) == (True, False, "broker")
    assert "make sure that none does, then use --force" in refused.stderr


def test_a_position_at_the_broker_is_shown_and_moved_while_nobody_runs(pair: Pair) -> None:
    pair.save(i1="a", i2="b", i3="c")
    pair.send()
    group = f"{pair.topic}-plain"
    pair.inside.write(
        {"plain/application.yaml": PLAIN.format(brokers=pair.brokers, topic=pair.topic, group=group)}
    )
    reset = ("positions", "reset", "plain", "in-items", "--to")
    dry = pair.inside.run(*reset, "latest", "--dry-run")
    assert dry.stdout == f"{pair.topic}[0]: None -> 3: has no position yet\n"
    assert pair.inside.run(*reset, "2").returncode == 0
    (found,) = json.loads(pair.inside.run("positions", "show", "plain", "--json").stdout)
    assert (found["position"], found["positions_in"], found["lag"]) == (2, "broker", 1)
    consumer = Consumer({"bootstrap.servers": pair.brokers, "group.id": group, "session.timeout.ms": 6000})
    consumer.subscribe([pair.topic])
    seen: list[int | None] = []

    def comes() -> bool:
        if (message := consumer.poll(0.1)) is not None and message.error() is None:
            seen.append(message.offset())
        return seen == [2]

    eventually(comes, WITHIN_S, lambda: str(seen))
    for force in ((), ("--force",)):
        refused = pair.inside.run(*reset, "earliest", *force)
        assert refused.returncode == 1
        assert "stop them; a position at the broker can only be moved while none runs" in refused.stderr
    consumer.close()
    done = pair.inside.run(*reset, "earliest")
    assert re.search(r"-> 0: \d+ messages? comes? again", done.stdout)
    (found,) = json.loads(pair.inside.run("positions", "show", "plain", "--json").stdout)
    assert (found["position"], found["lag"]) == (0, 3)
