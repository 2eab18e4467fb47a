"""`streambind demo`: the main job, shown: a category changes in one service, the other has it."""

from __future__ import annotations

import contextlib
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from streambind.cli.demo_services import DemoError, Service, embedded_broker, web_service
from streambind.cli.demo_story import Story, say, waiting
from streambind.cli.failures import until_interrupted
from streambind.cli.output import FAILED, err, line, write, write_error
from streambind.cli.tail import kafka_at
from streambind.cli.target import BROKER_TIMEOUT_MS

_TOPIC = "categoryChanged"


@click.command()
@click.option("--brokers", metavar="HOST:PORT", help="Your own Kafka; without it an embedded one is started.")
@click.option("--keep", is_flag=True, help="Leave the services running until Ctrl-C, to try them yourself.")
def demo(brokers: str | None, keep: bool) -> None:
    """Show the main job: two services, two databases, one topic.

    The category service and the lecture service of the sample run as two processes, each with a SQLite file of
    its own. Categories are created, changed and deleted over HTTP in the first; the second answers from its
    read model. Nothing is left behind on this machine.

    \b
    Examples:
      streambind demo
      streambind demo --keep
      streambind demo --brokers localhost:9092

    Exit code 0 only if every answer was right.
    """
    with contextlib.ExitStack() as stack:
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), _end)
        story: Story | None = None
        began = time.monotonic()
        try:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streambind-demo-")))
            story = _prepare(stack, folder, brokers)
            story.tell()
        except DemoError as error:
            _tell_failure("starting" if story is None else story.step, error)
            raise SystemExit(FAILED) from error
        write("\n[green bold]all right[/] in {}", f"{time.monotonic() - began:.1f} s")
        if story.topic != _TOPIC:
            write("topic {} stays on your broker", story.topic)
        if keep:
            _keep(story)


def _prepare(stack: contextlib.ExitStack, folder: Path, brokers: str | None) -> Story:
    """Start everything; what was started ends with the stack."""
    topic = _TOPIC
    if brokers is None:
        with waiting("starting the broker"):
            brokers = stack.enter_context(embedded_broker(folder, topic))
        say("broker", f"embedded Kafka on {brokers}, no Java, no Docker")
        binder = stack.enter_context(kafka_at(brokers))
    else:
        # Somebody's cluster: a topic and a group of the demo's own, so that nobody's data is touched.
        topic = f"{_TOPIC}-demo-{uuid.uuid4().hex[:8]}"
        binder = stack.enter_context(kafka_at(brokers))
        with waiting("asking the broker"):
            binder.describe(topic, BROKER_TIMEOUT_MS)
        say("broker", f"your Kafka on {brokers}, topic {topic}")
    environment = _environment(brokers, topic)
    services: dict[str, Service] = {}
    for name in ("category", "lecture"):
        with waiting(f"starting the {name} service"):
            services[name] = stack.enter_context(web_service(name, folder, environment))
        say(name, f"{services[name].url}, process {services[name].process.pid}, database {name}.db")
    return Story(services["category"], services["lecture"], binder, topic)


def _environment(brokers: str, topic: str) -> dict[str, str]:
    """Spring's spelling of environment variables overrides the sample's configuration."""
    environment = {"KAFKA_BROKERS": brokers}
    if topic != _TOPIC:
        for name in ("OUTCATEGORYCHANGED", "INCATEGORYCHANGED"):
            environment[f"SPRING_CLOUD_STREAM_BINDINGS_{name}_DESTINATION"] = topic
        environment["SPRING_CLOUD_STREAM_BINDINGS_INCATEGORYCHANGED_GROUP"] = f"CGR-lecture-{topic}"
    return environment


def _tell_failure(step: str, error: DemoError) -> None:
    write_error(f"the demo failed: {step}")
    err.print(line("  expected  {}\n  got       {}", error.expected, error.got, lines=True))
    if error.service is not None:
        err.print(line("  the end of the log of the {} service:", error.service.name))
        for text in error.service.last_lines() or ["(empty)"]:
            err.print(line("    {}", text))


def _keep(story: Story) -> None:
    write("\nThe services run until Ctrl-C. Try:")
    for command in _curl_lines(story.category.url, story.lecture.url):
        write("  {}", command)
    with until_interrupted():
        threading.Event().wait()


def _curl_lines(category: str, lecture: str) -> Iterator[str]:
    body = """-H 'Content-Type: application/json' -d '{"categoryName":"new"}'"""
    yield f"curl -X POST {body} {category}/lectureCategories"
    yield f"curl {lecture}/readCategories/3"
    yield f"streambind status {lecture}/health"


def _end(number: int, _frame: FrameType | None) -> None:
    """End like Ctrl-C does: with everything that was started."""
    raise SystemExit(128 + number)
