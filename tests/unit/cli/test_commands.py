"""Command lines: what is refused before anything starts, and what every command says of itself."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from streambind.cli import main
from tests.unit.cli.conftest import Run

CONFIGURATION = """\
spring:
  cloud:
    stream:
      kafka.binder.brokers: 127.0.0.1:1
      bindings:
        in-a: {destination: "a,b", group: g, consumer: {onError: skip}}
        in-dlq: {destination: c, group: g}
        out-a: {contentType: text/plain, producer: {publish: direct}}
      kafka.bindings.in-dlq.consumer.enableDlq: true
"""


WITHOUT_JSON = {"demo", "run", "relay", "broker", "dlq export"}
"""They show or serve; an export is JSON as it is."""


def _commands() -> list[list[str]]:
    found: list[list[str]] = []
    for name, command in main.commands.items():
        inner = command.commands if isinstance(command, click.Group) else {}
        found += [[name], *([name, each] for each in inner)]
    return found


@pytest.mark.parametrize("command", _commands(), ids=" ".join)
def test_every_command_has_help_that_fits_a_terminal(streambind: Run, command: list[str]) -> None:
    result = streambind(*command, "--help")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    if not isinstance(main.commands[command[0]], click.Group) or len(command) > 1:
        assert "streambind " + " ".join(command) in result.stdout.partition("Example")[2]


@pytest.mark.parametrize("command", _commands(), ids=" ".join)
def test_every_command_tells_machines_what_it_found_or_did(command: list[str]) -> None:
    found: click.Command = main
    for name in command:
        assert isinstance(found, click.Group)
        found = found.commands[name]
    names = {name for parameter in found.params for name in parameter.opts}
    assert isinstance(found, click.Group) or "--json" in names or " ".join(command) in WITHOUT_JSON


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["broker", "--topic", "a b"], "no name of a topic"),
        (["broker", "--topic", "a:0"], "write NAME or NAME:PARTITIONS"),
        (["broker", "--topic", "a:x"], "write NAME or NAME:PARTITIONS"),
        (["broker", "--topic", "a:1:2"], "write NAME or NAME:PARTITIONS"),
        (["broker", "--port", "70000"], "65535"),
        (["run", "x:y", "stray"], "'stray' is no option and no setting"),
        (["run", "x:y", "--sprng.x=1"], "is no option and no setting"),
        (["run", "x:y", "--spring.x"], "is no option and no setting"),
        (["tail", "t", "-n", "0"], "not in the range"),
        (["nonsense"], "No such command"),
        (["outbox", "migration", "--directory", "nowhere"], "does not exist"),
    ],
)
def test_a_wrong_command_line_exits_with_2(streambind: Run, command: list[str], says: str) -> None:
    result = streambind(*command)
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.split())


def test_a_port_that_the_embedded_broker_cannot_have_is_named(streambind: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = streambind("broker", "--port", port)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error  port {port} is taken")


def test_bindings_are_listed_with_their_places(streambind: Run, configured: Callable[[str], Path]) -> None:
    configured(CONFIGURATION)
    lines = [text.split("  ") for text in streambind("bindings").stdout.splitlines()]
    rows = [[cell.strip() for cell in cells if cell.strip()] for cells in lines]
    assert rows[1:] == [
        ["in-a", "in", "a, b", "g", "application/json", "kafka", "on error skip", "application.yaml:6:9"],
        ["in-dlq", "in", "c", "g", "application/json", "kafka", "on error dlq", "application.yaml:7:9"],
        ["out-a", "out", "out-a", "text/plain", "kafka", "direct", "application.yaml:8:9"],
    ]
    documents = json.loads(streambind("bindings", "--json").stdout)
    assert [document["destinations"] for document in documents] == [["a", "b"], ["c"], ["out-a"]]
    assert documents[0]["line"] == 6


def test_tail_without_a_broker_says_how_to_name_one(streambind: Run) -> None:
    result = streambind("tail", "t")
    assert result.exit_code == 1
    assert "--brokers HOST:PORT" in result.stderr


@pytest.mark.parametrize("command", [["outbox", "status", "."], ["outbox", "unblock", ".", "--all"]], ids=" ".join)
def test_missing_tables_name_the_command_and_make_no_file(
    streambind: Run, configured: Callable[[str], Path], command: list[str], folder: Path
) -> None:
    configured("streambind.datasource.url: sqlite:///new.db\n")
    result = streambind(*command)
    assert result.exit_code == 1
    assert "`streambind outbox create-tables .`" in result.stderr
    assert not (folder / "new.db").exists()


@pytest.mark.parametrize(
    ("url", "says", "code"),
    [
        ("postgresql+nodriver://localhost/x", "is not a SQLAlchemy URL", 1),
        ("nonsense", "application.yaml:1:23: streambind.datasource.url is not a SQLAlchemy URL", 1),
        ("mssql+pyodbc://localhost/x", "not yet in mssql", 1),
        ("oracle://localhost/x", "not yet in oracle", 1),
        ("postgresql+psycopg://u:geheim@127.0.0.1:1/x", "does not answer", 3),
    ],
)
def test_a_database_that_cannot_be_used_is_said_in_one_line(
    streambind: Run, configured: Callable[[str], Path], url: str, says: str, code: int
) -> None:
    configured(f"streambind.datasource.url: {url}\n")
    result = streambind("outbox", "status")
    assert says in result.stderr
    assert "geheim" not in result.stdout + result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.exit_code == code


def test_commands_for_a_database_need_one(streambind: Run, configured: Callable[[str], Path]) -> None:
    configured(CONFIGURATION)
    result = streambind("outbox", "status")
    assert result.exit_code == 1
    assert "streambind.datasource.url" in result.stderr
