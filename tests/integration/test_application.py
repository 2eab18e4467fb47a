"""The life of a StreamApplication: built, started, stopped, forked, and several of them side by side."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import sessionmaker

from streambind import StreamApplication, stream_listener
from streambind.errors import LifecycleError
from streambind.testing.applications import Applications
from streambind.testing.eventually import eventually
from streambind.testing.streams import Streams
from tests.integration.application_code import CONFIGURATION, Added, Base, Copy, Thing, keep
from tests.services.process import REPOSITORY

NOTHING_RUNS = """
import os, socket, threading

opened = []
connect = socket.socket.connect
socket.socket.connect = lambda self, address: (opened.append(address), connect(self, address))[1]
files = len(os.listdir("/proc/self/fd"))

import asyncio
asyncio.new_event_loop = lambda: opened.append("loop")
from streambind import StreamApplication
from tests.integration import application_code
application = StreamApplication("application.yaml", include=[application_code.Thing, application_code.keep])
application.bridge, application.status(), application.configuration, application.sessions
assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
assert not opened, opened
assert len(os.listdir("/proc/self/fd")) == files
assert not os.path.exists("service.db")
print("nothing runs")
"""
FORKED = """
import os, sys
from streambind import StreamApplication
from streambind.binders.memory import MEMORY
from streambind.errors import LifecycleError
from streambind.management.health import HealthStatus, health
from tests.integration import application_code

application = StreamApplication("application.yaml", include=[application_code.Thing, application_code.keep])
application_code.Base.metadata.create_all(application.engine)
application.engine.dispose()
application.start()
child = os.fork()
if child == 0:
    for action in (application.start, application.stop, lambda: application.bridge.send("out-a", b"x")):
        try:
            action()
        except LifecycleError as error:
            assert "forked" in str(error), error
            assert "start it in the child" in str(error), error
        else:
            os._exit(3)
    assert not application.is_running
    assert (application.status(), application.relay, application.unsent()) == ([], None, {})
    assert health(application).status is HealthStatus.DOWN
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
application.stop()
print("the parent goes on")
"""
IN_MEMORY = CONFIGURATION.replace("kafka.binder.brokers: nowhere:9092", "default-binder: memory")


def test_nothing_exists_before_the_start(tmp_path: Path) -> None:
    assert "nothing runs" in _python(NOTHING_RUNS, tmp_path, CONFIGURATION)


def test_a_forked_process_is_told_to_start_it_anew(tmp_path: Path) -> None:
    assert "the parent goes on" in _python(FORKED, tmp_path, IN_MEMORY)


def test_a_second_start_is_refused(streams: Streams, stream_application: Applications) -> None:
    application = stream_application(CONFIGURATION, include=[Thing])
    with streams.run(application), pytest.raises(LifecycleError, match="runs already"):
        application.start()


def test_a_second_stop_does_nothing(streams: Streams, stream_application: Applications) -> None:
    application = stream_application(CONFIGURATION, include=[Thing])
    application.stop()
    with streams.run(application):
        application.stop()
        application.stop()
        assert not application.is_running
        assert application.status() == []


def test_threads_end_when_it_is_stopped(streams: Streams, stream_application: Applications) -> None:
    before = set(threading.enumerate())
    application = stream_application(CONFIGURATION, include=[Thing, keep], metadata=Base.metadata)
    for _ in range(3):
        with streams.run(application):
            application.bridge.send("out-b", b"{}").result()
            streams.settle()
    assert set(threading.enumerate()) <= before


def test_stop_is_refused_on_the_event_loop_that_it_waits_for(
    streams: Streams, stream_application: Applications
) -> None:
    application = stream_application(CONFIGURATION, include=[Thing])

    async def main() -> None:
        async with streams.run(application):
            with pytest.raises(LifecycleError, match="to_thread"):
                application.stop()
            assert application.is_running
        assert not application.is_running

    asyncio.run(main())


def test_it_runs_again_on_another_event_loop(streams: Streams, stream_application: Applications) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    @stream_listener("in-a")
    async def note(event: Added) -> None:
        loops.append(asyncio.get_running_loop())

    application = stream_application(CONFIGURATION, include=[Thing, note], metadata=Base.metadata)

    async def main(number: int) -> None:
        async with streams.run(application):
            with application.sessions.begin() as session:
                session.add(Thing(id=number))
            await asyncio.to_thread(streams.settle)
            assert loops.pop() is asyncio.get_running_loop()

    asyncio.run(main(1))
    asyncio.run(main(2))


def test_several_applications_live_in_one_process(streams: Streams, stream_application: Applications) -> None:
    def service(group: str) -> StreamApplication:
        configuration = CONFIGURATION.replace("group: g", f"group: {group}")
        return stream_application(configuration, include=[Thing, keep], metadata=Base.metadata)

    first, second = service("g1"), service("g2")
    with streams.run(first), streams.run(second):
        with first.sessions.begin() as session:
            session.add(Thing(id=1))
        with second.sessions.begin() as session:
            session.add(Thing(id=2))
        streams.settle()
        for application in (first, second):
            with application.sessions() as session:
                assert {copy.id for copy in session.query(Copy)} == {1, 2}


@pytest.mark.parametrize("streambind_broker", ["memory", "embedded"])
def test_two_instances_of_a_service_share_the_partitions(
    streams: Streams, stream_application: Applications
) -> None:
    configuration = CONFIGURATION.replace("{destination: a}", "{destination: a, producer: {partitionCount: 4}}")
    first = stream_application(configuration, include=[Thing, keep], metadata=Base.metadata)
    second = stream_application(configuration, include=[keep], database=sessionmaker(first.engine))

    def shares() -> list[list[int]]:
        return [_partitions(application) for application in (first, second)]

    with streams.run(first), streams.run(second):
        eventually(lambda: [len(share) for share in shares()] == [2, 2], 30, lambda: f"shares {shares()}")
        for number in range(1, 41):
            with first.sessions.begin() as session:
                session.add(Thing(id=number))
        streams.settle()
        assert sorted(partition for share in shares() for partition in share) == [0, 1, 2, 3]
        with first.sessions() as session:
            assert session.query(Copy).count() == 40


def test_rows_wait_for_the_relay_of_another_process_when_it_is_never_started(
    streams: Streams, stream_application: Applications
) -> None:
    writer = stream_application(CONFIGURATION, include=[Thing], metadata=Base.metadata)
    relay = stream_application(CONFIGURATION, include=[], database=sessionmaker(writer.engine))
    with streams.run(relay):
        with writer.sessions.begin() as session:
            session.add(Thing(id=1))
        streams.settle()
        assert [event.id for event in streams.published("out-a", Added)] == [1]
    assert not writer.is_running


def test_the_event_loop_ends_when_listeners_were_coroutines(
    streams: Streams, stream_application: Applications
) -> None:
    @stream_listener("in-a")
    async def note(event: Added) -> None:
        await asyncio.sleep(0)

    before = set(threading.enumerate())
    application = stream_application(CONFIGURATION, include=[Thing, note], metadata=Base.metadata)
    for number in (1, 2):
        with streams.run(application):
            with application.sessions.begin() as session:
                session.add(Thing(id=number))
            streams.settle()
        assert set(threading.enumerate()) <= before


def test_a_lifespan_does_not_end_what_runs_already(streams: Streams, stream_application: Applications) -> None:
    application = stream_application(CONFIGURATION, include=[Thing])

    async def main() -> None:
        with pytest.raises(LifecycleError, match="runs already"):
            async with application.lifespan():
                pass

    with streams.run(application):
        asyncio.run(main())
        assert application.is_running


def _partitions(application: StreamApplication) -> list[int]:
    [status] = [status for status in application.status() if status.name == "in-a"]
    return [state.lane.partition for state in status.partitions]


def _python(program: str, folder: Path, configuration: str) -> str:
    """Run a program of its own in a folder with this configuration; what it printed."""
    (folder / "application.yaml").write_text(f"{configuration}streambind.datasource.url: sqlite:///service.db\n")
    environment: dict[str, Any] = {"PYTHONPATH": str(REPOSITORY), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("own", "partitions"), [("", 6), (", instanceCount: 5", 10)], ids=["", "its own"])
def test_a_topic_that_an_input_makes_has_room_for_all_instances(
    streams: Streams, stream_application: Applications, own: str, partitions: int
) -> None:
    text = f"""
    spring.cloud.stream:
      instanceCount: 3
      bindings.in-a: {{destination: roomy, group: g, consumer: {{concurrency: 2{own}}}}}
    """
    application = stream_application(text, include=[keep], metadata=Base.metadata)
    with streams.run(application):
        eventually(lambda: len(_assigned(application)) == partitions, 20, lambda: f"{_assigned(application)}")


def _assigned(application: StreamApplication) -> list[int]:
    return [state.lane.partition for status in application.status() for state in status.partitions]
