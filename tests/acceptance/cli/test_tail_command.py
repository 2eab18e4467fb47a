"""`streambind tail` as a process: what comes, what is there, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable

from streambind.binders.kafka import EmbeddedBroker
from streambind.message import Message
from tests.acceptance.cli.conftest import COMMAND, NOWHERE, WITHIN_S, Shell

Send = Callable[[str, Message], None]


def test_what_comes_is_shown_until_ctrl_c(shell: Shell, broker: EmbeddedBroker, send: Send, topic: str) -> None:
    send(topic, Message(b'{"n":1}', b"old"))
    with shell.started("tail", topic, "--brokers", broker.address, "--from-beginning") as tail:
        tail.says("key=old")
        send(topic, Message('{"name":"최종테스트"}'.encode(), b"new", raw_headers=[("type", b"T")]))
        tail.says("최종테스트")
        assert tail.end(signal.SIGINT) == 0
    first, payload, second, second_payload = tail.output.splitlines()
    assert first.startswith("p0 @0  key=old  ")
    assert payload == '  {"n":1}'
    assert second.startswith("p0 @1  key=new  ")
    assert second.endswith("  type=T")
    assert second_payload == '  {"name":"최종테스트"}'


def test_without_from_beginning_only_what_comes(
    shell: Shell, broker: EmbeddedBroker, send: Send, topic: str
) -> None:
    send(topic, Message(b"1", b"old"))
    result = shell.run("tail", topic, "--brokers", broker.address, "--no-follow")
    assert (result.stdout, result.stderr, result.returncode) == ("", "", 0)


def test_lines_end_it_and_json_is_one_line_each(
    shell: Shell, broker: EmbeddedBroker, send: Send, topic: str
) -> None:
    for number in range(3):
        send(topic, Message(json.dumps({"n": number}).encode(), b"k"))
    arguments = ["--brokers", broker.address, "--from-beginning", "--json", "-n", 2]
    result = shell.run("tail", topic, *arguments)
    assert [json.loads(line)["payload"] for line in result.stdout.splitlines()] == [{"n": 0}, {"n": 1}]
    assert result.returncode == 0


def test_a_topic_that_comes_later_is_followed_from_its_start(
    shell: Shell, broker: EmbeddedBroker, send: Send, topic: str
) -> None:
    with shell.started("tail", topic, "--brokers", broker.address) as tail:
        tail.says(f"waiting for destination {topic}")
        send(topic, Message(b"first", b"k"))
        send(topic, Message(b"second", b"k"))
        tail.says("second")
    assert "first" in tail.output


def test_hostile_messages_reach_no_terminal(shell: Shell, broker: EmbeddedBroker, send: Send, topic: str) -> None:
    hostile = "\x1b[2J\x1b]0;x\x07\u202e\x9b31m".encode()
    send(topic, Message(hostile, hostile, raw_headers=[("h", hostile)]))
    send(topic, Message(bytes(range(256)), b"\x00\xff"))
    for options in ([], ["--headers"], ["--json"]):
        arguments = ["--brokers", broker.address, "--from-beginning", "-n", 2, *options]
        shown = shell.run("tail", topic, *arguments).stdout
        assert shown
        assert all(character.isprintable() or character == "\n" for character in shown)


def test_a_closed_pipe_is_silent(shell: Shell, broker: EmbeddedBroker, send: Send, topic: str) -> None:
    for _ in range(50):
        send(topic, Message(b"x" * 4000, b"k"))
    command = [*COMMAND, "tail", topic, "--brokers", broker.address, "--from-beginning"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=shell.folder) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        assert tail.stdout.readline().startswith(b"p0 @0")
        tail.stdout.close()
        assert tail.wait(WITHIN_S) == 141
        assert tail.stderr.read() == b""


def test_a_broker_that_is_away_is_said_in_one_line(shell: Shell) -> None:
    result = shell.run("tail", "t", "--brokers", NOWHERE)
    assert result.returncode == 3
    assert result.stderr.startswith(f"error  the broker {NOWHERE} does not answer")
    assert len(result.stderr.splitlines()) == 1


def test_a_missing_destination_is_named(shell: Shell, kafka: str) -> None:
    result = shell.run("tail", "no-such-topic-here", "--brokers", kafka, "--no-follow")
    assert result.returncode == 1
    assert "destination 'no-such-topic-here' does not exist" in result.stderr
