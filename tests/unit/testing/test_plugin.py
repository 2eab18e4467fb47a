"""The pytest plugin from outside: its options, and that tests do not see each other."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

SERVICE = """
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker
from sqlalchemy import create_engine
from streambind import EntityEvent, StreamApplication, publishes, stream_listener

class Base(DeclarativeBase): pass

class Added(EntityEvent):
    id: int

@publishes("out-a", Added)
class Thing(Base):
    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)

class Copy(Base):
    __tablename__ = "copy"
    id: Mapped[int] = mapped_column(primary_key=True)

@stream_listener("in-a")
def keep(event: Added, session: Session) -> None:
    session.merge(Copy(id=event.id))

Sessions = sessionmaker(create_engine("sqlite:///service.db"))
stream = StreamApplication("application.yaml", database=Sessions, include=[Thing, keep])
Base.metadata.create_all(stream.engine)
"""
CONFIGURATION = """
spring.cloud.stream:
  kafka.binder.brokers: nowhere:9092
  bindings:
    out-a: {destination: a}
    in-a: {destination: a, group: g}
"""
A_TEST = """
import pytest
from service import Added, Copy, Sessions, Thing, stream

@pytest.mark.parametrize("round", [1, 2, 3])
def test_it(streams, round):
    with streams.run(stream):
        with Sessions.begin() as session:
            if thing := session.get(Thing, 1):
                session.delete(thing)
            session.add(Thing(id=100 + round))
        streams.settle()
        assert [e.id for e in streams.published("out-a", Added)] == [100 + round]
        with Sessions() as session:
            assert session.get(Copy, 100 + round) is not None
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with a service at module level, on a database that its tests share."""
    pytester.makepyfile(service=SERVICE)
    (pytester.path / "application.yaml").write_text(CONFIGURATION)
    pytester.syspathinsert()
    return pytester


def test_tests_run_in_memory_when_nothing_is_said(project: pytest.Pytester) -> None:
    project.makepyfile(A_TEST)
    project.runpytest_subprocess("-q").assert_outcomes(passed=3)


def test_tests_run_on_the_embedded_broker_when_the_option_says_so(project: pytest.Pytester) -> None:
    project.makepyfile(A_TEST)
    project.runpytest("-q", "--streambind-broker=embedded").assert_outcomes(passed=3)


def test_tests_run_on_the_broker_of_the_ini_file(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nstreambind_broker = embedded")
    project.makepyfile("def test_it(streambind_broker): assert streambind_broker == 'embedded'")
    project.runpytest("-q").assert_outcomes(passed=1)


def test_the_option_wins_over_the_ini_file(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nstreambind_broker = embedded")
    project.makepyfile("def test_it(streambind_broker): assert streambind_broker == 'kafka:9092'")
    project.runpytest("-q", "--streambind-broker=kafka:9092").assert_outcomes(passed=1)


@pytest.mark.parametrize("value", ["rabbit", "localhost", "host:port"])
def test_a_wrong_option_is_a_usage_error(project: pytest.Pytester, value: str) -> None:
    result = project.runpytest(f"--streambind-broker={value}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--streambind-broker={value}: write memory, embedded or host:port*"])


def test_an_unreachable_broker_fails_the_test_with_its_address(project: pytest.Pytester) -> None:
    project.makepyfile(A_TEST)
    result = project.runpytest("-q", "-x", "--streambind-broker=127.0.0.1:1")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*--streambind-broker=127.0.0.1:1: *"])


def test_events_that_a_test_left_unsent_are_not_seen_by_the_next_one(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        from service import Added, Sessions, Thing, stream

        def test_leaves_an_event(streams):
            with streams.run(stream):
                stream.binding("out-a").stop(1000)
                with Sessions.begin() as session:
                    session.add(Thing(id=1))

        def test_sees_its_own_only(streams):
            with Sessions.begin() as session:
                session.add(Thing(id=2))
            with streams.run(stream):
                streams.settle()
            assert [e.id for e in streams.published("out-a", Added)] == [2]
        """
    )
    project.runpytest("-q").assert_outcomes(passed=2)


def test_events_that_a_test_committed_without_running_anything_are_not_seen_by_the_next_one(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        """
        import logging, time
        import pytest
        from service import Added, Sessions, Thing, stream
        from streambind.persistence.schema import prepare_tables

        prepare_tables(stream.database)

        def commit(number):
            with Sessions.begin() as session:
                session.add(Thing(id=number))
            committed_ms = time.time_ns() // 1_000_000
            while time.time_ns() // 1_000_000 == committed_ms:
                pass

        @pytest.fixture
        def seeded():
            commit(3)

        def test_commits_without_an_application():
            commit(1)

        def test_commits_after_its_application(streams):
            with streams.run(stream):
                streams.settle()
            commit(2)

        def test_sees_what_it_and_its_fixtures_commit(seeded, streams, caplog):
            commit(4)
            with streams.run(stream):
                streams.settle()
            assert sorted(e.id for e in streams.published("out-a", Added)) == [3, 4]
            [told] = [r.getMessage() for r in caplog.records if r.name == "streambind.testing"]
            assert told.startswith("1 event that was committed before this test began is forgotten")
        """
    )
    project.runpytest("-q").assert_outcomes(passed=3)


def test_a_failure_to_settle_is_reported_without_noise(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        from service import stream

        def test_it(streams):
            with streams.run(stream):
                streams.settle()
                stream.binding("in-a").pause()
                stream.bridge.send("out-a", b"{}").result()
                streams.settle(within_s=0.1)
        """
    )
    result = project.runpytest("-q")
    result.assert_outcomes(failed=1)
    lines = ["*have not settled within 0.1 s:*", "E*in-a (paused): a?0? is at 0, its end is 1"]
    result.stdout.fnmatch_lines(lines)
