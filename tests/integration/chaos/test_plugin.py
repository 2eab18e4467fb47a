"""The fixture `chaos` from outside, as a user would write it: services of one's own, on SQLite and the embedded
broker, in a few seconds."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

SERVICE = """
import os, signal, sys, threading
from sqlalchemy import create_engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker
from streambind import EntityEvent, StreamApplication, publishes, stream_listener

class Base(DeclarativeBase): pass

class Added(EntityEvent):
    id: int

@publishes("out-a", Added)
class Thing(Base):
    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)

class Effect(Base):
    __tablename__ = "effect"
    id: Mapped[int] = mapped_column(primary_key=True)
    thing: Mapped[int]

@stream_listener("in-a")
def keep(event: Added, session: Session) -> None:
    if "LOSES" in os.environ and event.id % 3 == 0:
        return
    session.add(Effect(thing=event.id))

def application() -> StreamApplication:
    return StreamApplication("application.yaml", include=[Thing, keep])

def write() -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    stream = application()
    while not stop.wait(0.01):
        try:
            with stream.sessions.begin() as session:
                session.add(Thing())
        except DBAPIError as error:
            print("not committed:", error.orig)
"""
CONFIGURATION = """
spring.cloud.stream:
  bindingRetryInterval: 1
  kafka:
    binder.brokers: ${KAFKA_BROKERS}
    bindings.in-a.consumer.configuration: {session.timeout.ms: 1000, heartbeat.interval.ms: 300}
  bindings:
    out-a: {destination: a}
    in-a: {destination: a, group: g}
streambind:
  datasource.url: ${DATABASE_URL}
  outbox.lease: 1s
"""
A_TEST = """
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session
from service import Base, Effect, Thing, application, write
from streambind.testing.chaos import Change, History

URL = "sqlite:///service.db"

def history():
    with Session(engine := create_engine(URL)) as session:
        committed = [Change(thing.id, "added") for thing in session.scalars(select(Thing).order_by(Thing.id))]
        effects = [Change(effect.thing, "added") for effect in session.scalars(select(Effect).order_by(Effect.id))]
    engine.dispose()
    return History(committed, effects)

def test_nothing_is_lost(chaos):
    engine = create_engine(URL)
    Base.metadata.create_all(engine)
    engine.dispose()
    environment = {"KAFKA_BROKERS": chaos.broker(), "DATABASE_URL": chaos.database("things", URL)}
    chaos.service("keeper", "service:application", environment=environment, instances=2)
    chaos.writer("writer", write, environment=environment)
    chaos.run(history)
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(service=SERVICE, test_chaos=A_TEST)
    (pytester.path / "application.yaml").write_text(CONFIGURATION)
    return pytester


def test_a_users_services_are_broken_and_keep_their_promises(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("--streambind-chaos-report=report.json", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*streambind chaos*", "test_nothing_is_lost: seed 1, 8 s", "  faults: *"])
    report = json.loads((project.path / "report.json").read_text())
    assert report["violations"] == []
    assert report["seed"] == 1
    assert report["events"] == report["effects"] > 0
    assert sum(report["faults"].values()) > 0
    assert _processes_in(project.path) == []


def test_a_listener_that_loses_events_is_found_and_the_report_names_the_seed(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOSES", "1")
    result = project.runpytest_subprocess("--streambind-chaos=2", "--streambind-chaos-seed=77")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["test_nothing_is_lost: seed 77, 2 s", "  BROKEN lost: item 3: no effect of added"]
    )
    assert _processes_in(project.path) == []


def test_a_length_that_is_no_number_is_refused(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--streambind-chaos", "tests")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--streambind-chaos: invalid float value: 'tests'*"])


def _processes_in(folder: Path) -> list[str]:
    """The command lines of processes that run there."""
    listed = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    pids = {line.split()[0]: line for line in listed.splitlines() if "streambind.testing.chaos.child" in line}
    return [line for pid, line in pids.items() if _works_in(pid, folder)]


def _works_in(pid: str, folder: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").resolve() == folder.resolve()
    except OSError:
        return False
