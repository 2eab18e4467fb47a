"""docs/dead-letters.md shows what its commands print: a service by its configuration, three letters, one command
after the other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from sqlalchemy.orm import Session

from streambind import EntityEvent, StreamApplication, stream_listener
from streambind.testing.eventually import eventually
from tests.acceptance.cli.conftest import Inside

PAGE = Path(__file__).parents[3] / "docs" / "dead-letters.md"
WITHIN_S = 30.0

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")


class CategoryChanged(EntityEvent):
    category_id: int


@stream_listener("in-categoryChanged")
def keep(event: CategoryChanged, session: Session) -> None:
    if event.category_id % 2:
        raise ValueError(f"no such teacher for category {event.category_id}")


def blocks(language: str) -> list[str]:
    return [text for found, text in _BLOCK.findall(PAGE.read_text(encoding="utf-8")) if found == language]


def transcript() -> Iterator[tuple[list[str], str]]:
    """The words of each command that is shown with what it prints, and that."""
    for block in blocks(""):
        for part in re.split(r"^\$ streambind ", block, flags=re.MULTILINE)[1:]:
            line, _, printed = part.partition("\n")
            words = [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', line)]
            yield words, printed.strip()


@pytest.fixture
def shell(inside: Inside, topic: str) -> Inside:
    """Where the service has failed at every second of five categories."""
    stream = yaml.safe_load(blocks("yaml")[0])["spring.cloud.stream"]
    stream["memory.bindings.in-categoryChanged.consumer"] = stream.pop(
        "kafka.bindings.in-categoryChanged.consumer"
    )
    stream |= {"defaultBinder": "memory", "memory.binder.name": topic}
    stream["bindings.in-categoryChanged"]["consumer.maxAttempts"] = 1
    stream["bindings.out-x"] = {"destination": "categoryChanged", "producer.publish": "direct"}
    datasource = {"streambind.datasource.url": "sqlite:///service.db"}
    inside.write({"application.yaml": json.dumps({"spring.cloud.stream": stream} | datasource)})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(inside.folder)
        application = StreamApplication(inside.folder, include=[keep], arguments=())
        with application:
            for number in range(1, 6):
                event = CategoryChanged(job_type="INSERT", category_id=number)
                application.bridge.send("out-x", event, key=str(number)).result()
            eventually(lambda: letters(inside) == 3, WITHIN_S, lambda: str(application.status()))
        application.engine.dispose()
    return inside


def letters(inside: Inside) -> int:
    return len(json.loads(inside.run("dlq", "ls", ".", "--each", "--json").stdout))


def test_the_page_shows_what_the_commands_print(shell: Inside) -> None:
    shown = list(transcript())
    assert len(shown) == 6
    for words, expected in shown:
        result = shell.run(*words)
        printed = "\n".join(line.rstrip() for line in result.stdout.strip().splitlines())
        assert _TIME.sub("<time>", printed) == _TIME.sub("<time>", expected), words
