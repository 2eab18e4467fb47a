"""The servers that the other tests stand on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Consumer, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from sqlalchemy import create_engine, make_url, text

from tests.services import FreshDatabases, KafkaBroker, PostgresServer
from tests.services.process import REPOSITORY, ServerProcess, free_port, heed_signals, sweep, wait_for


def test_a_record_is_consumed_when_it_was_produced(kafka: str, topic: str) -> None:
    produce(kafka, topic, b"first")

    record = consume_one(kafka, topic)

    assert (record.key(), record.value()) == (b"k", b"first")


def test_a_record_survives_when_the_broker_is_killed(own_kafka: KafkaBroker, topic: str) -> None:
    address = own_kafka.address
    produce(address, topic, b"kept")

    own_kafka.kill()
    assert not own_kafka.is_running()
    own_kafka.restart()

    assert own_kafka.address == address
    assert consume_one(address, topic).value() == b"kept"


def test_a_fresh_database_is_empty_when_another_has_a_row(postgres: FreshDatabases, postgres_url: str) -> None:
    other = postgres.new_database()
    with psycopg.connect(plain(other), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (id int)")
        connection.execute("INSERT INTO kept VALUES (1)")
    engine = create_engine(postgres_url)

    with engine.begin() as fresh:
        tables = fresh.execute(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")).scalar_one()
    engine.dispose()

    assert tables == 0
    postgres.drop_database(other)
    postgres.drop_database(other)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(plain(other))


def test_a_committed_row_survives_when_the_server_crashes(own_postgres: PostgresServer) -> None:
    url = own_postgres.new_database()
    with psycopg.connect(plain(url), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (id int)")
        connection.execute("INSERT INTO kept VALUES (1)")
        own_postgres.crash()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")

    own_postgres.restart()

    with psycopg.connect(plain(url)) as connection:
        assert connection.execute("SELECT id FROM kept").fetchall() == [(1,)]


def test_a_broker_of_another_process_is_found_by_its_directory(own_kafka: KafkaBroker) -> None:
    found = KafkaBroker.at(own_kafka.log.parent)

    assert found is not None
    assert found.address == own_kafka.address
    assert KafkaBroker.at(own_kafka.log.parent / "data") is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_no_server_is_left_when_a_session_is_ended(
    postgres: FreshDatabases, tmp_path: Path, number: signal.Signals
) -> None:
    session = start_session(tmp_path)
    server = int(wait_for_text(tmp_path / "pid"))

    session.send_signal(number)
    session.wait(30)

    until(lambda: not alive(server), "the session's server is gone")


def test_a_server_is_ended_when_its_session_was_killed(postgres: FreshDatabases, tmp_path: Path) -> None:
    session = start_session(tmp_path)
    server = int(wait_for_text(tmp_path / "pid"))
    session.kill()
    session.wait(30)
    assert alive(server)

    sweep(Path((tmp_path / "root").read_text()))

    until(lambda: not alive(server), "the killed session's server is gone")


def test_a_pid_is_not_trusted_when_it_was_given_to_another_process(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(f"{os.getpid()} another birth\n")

    assert not ServerProcess(tmp_path).is_running()
    ServerProcess(tmp_path).kill()


def test_a_free_port_lies_below_those_of_outgoing_connections() -> None:
    assert 20_000 <= free_port() < 30_000


def start_session(folder: Path) -> subprocess.Popen[bytes]:
    """A pytest session of its own with a PostgreSQL server, which waits inside a test to be ended."""
    (folder / "test_waiting.py").write_text(
        "import threading\n"
        "from pathlib import Path\n"
        "def test_waiting(own_postgres):\n"
        "    here = own_postgres.log.parent\n"
        "    Path('root').write_text(str(here.parent))\n"
        "    Path('pid.new').write_text((here / 'pid').read_text().split()[0])\n"
        "    Path('pid.new').rename('pid')\n"
        "    threading.Event().wait(60)\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "test_waiting.py"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with (folder / "output").open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=heed_signals,
        )


def produce(address: str, topic: str, value: bytes) -> None:
    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic(topic, num_partitions=1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": address})
    producer.produce(topic, key=b"k", value=value)
    assert producer.flush(30) == 0


def consume_one(address: str, topic: str) -> Message:
    settings = {"bootstrap.servers": address, "group.id": topic, "auto.offset.reset": "earliest"}
    consumer = Consumer({**settings, "enable.auto.commit": False})
    consumer.subscribe([topic])
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            record = consumer.poll(0.2)
            if record is not None and record.error() is None:
                return record
    finally:
        consumer.close()
    raise AssertionError(f"no record of {topic} within 60 s")


def until(condition: Callable[[], bool], what: str) -> None:
    assert wait_for(condition, 30), f"not within 30 s: {what}"


def wait_for_text(path: Path) -> str:
    until(path.exists, f"{path} is written; {(path.parent / 'output').read_text()}")
    return path.read_text()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def plain(url: str) -> str:
    """The URL as psycopg itself takes it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
