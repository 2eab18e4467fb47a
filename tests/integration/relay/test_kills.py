"""A relay that dies at any point: after the next start everything is there, in order; repeats only on the wire."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streambind.outbound.outbox_status import outbox_status
from streambind.persistence.database import Database
from tests.integration.relay.commits import backlog, commit_keys, committed
from tests.integration.relay.conftest import StartRelay
from tests.integration.relay.relay_process import FileProducer
from tests.integration.relay.wire import gaps, missing, overtaken, read_log
from tests.services.process import REPOSITORY, wait_for

StartProcess = Callable[..., "subprocess.Popen[bytes]"]
KEYS, ROUNDS = 20, 6


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The file that relay processes write to."""
    path = tmp_path / "wire.log"
    path.touch()
    return path


@pytest.fixture
def start_process(database: Database, log: Path) -> Iterator[StartProcess]:
    """Starts relay processes on the database; kills what is left of them."""
    processes: list[subprocess.Popen[bytes]] = []
    url = database.engine.url.render_as_string(hide_password=False)

    def start(failpoints: str = "", **options: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.integration.relay.relay_process", url, str(log)]
        process = subprocess.Popen(
            [*command, *(f"{name}={value}" for name, value in options.items())],
            cwd=REPOSITORY,
            env={**os.environ, "STREAMBIND_FAILPOINTS": failpoints},
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait(10)


def _travelled(log: Path) -> dict[bytes | None, list[int]]:
    with log.open() as lines:
        return read_log(lines)


def _count(log: Path) -> int:
    return sum(map(len, _travelled(log).values()))


def _is_killed(process: subprocess.Popen[bytes]) -> bool:
    return process.wait(30) == -signal.SIGKILL


@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("point", ["relay.after_select", "relay.after_ack", "relay.after_delete"])
def test_killed_at_a_failpoint_nothing_is_lost_and_order_is_kept(
    database: Database, log: Path, start_process: StartProcess, start_relay: StartRelay, point: str, nth: int
) -> None:
    commit_keys(database, range(KEYS), rounds=ROUNDS)
    assert _is_killed(start_process(f"{point}=kill@{nth}"))
    deleted = KEYS * ROUNDS - backlog(database)
    repeats = _count(log) - deleted
    commit_keys(database, range(KEYS))

    _drain(database, log, start_relay)

    travelled = _travelled(log)
    assert missing(travelled, committed(database)) == []
    assert gaps(travelled) == overtaken(travelled) == []
    # Two batches may be under way: when the first one is deleted, another may have been sent.
    fewest = {"relay.after_select": nth - 2, "relay.after_ack": nth - 1, "relay.after_delete": nth}[point]
    assert max(0, fewest) * 20 <= deleted <= (nth + 1) * 20
    assert (20 if point == "relay.after_ack" else 0) <= repeats <= 40
    assert _count(log) == KEYS * (ROUNDS + 1) + repeats


@pytest.mark.parametrize("die_after", [1, 33])
def test_killed_in_the_middle_of_a_batch_the_batch_travels_again(
    database: Database, log: Path, start_process: StartProcess, start_relay: StartRelay, die_after: int
) -> None:
    commit_keys(database, range(KEYS), rounds=ROUNDS)
    assert _is_killed(start_process(die_after=die_after))
    assert _count(log) == die_after

    _drain(database, log, start_relay)

    travelled = _travelled(log)
    assert missing(travelled, committed(database)) == []
    assert gaps(travelled) == overtaken(travelled) == []


def test_another_relay_takes_over_from_a_dead_one(
    database: Database, log: Path, start_process: StartProcess
) -> None:
    first, second = start_process(stay=1), start_process(stay=1)
    assert wait_for(lambda: _owners(database) == 2, 30)
    commit_keys(database, range(KEYS), rounds=ROUNDS)
    first.kill()
    commit_keys(database, range(KEYS), rounds=ROUNDS)

    assert wait_for(lambda: backlog(database) == 0, 30)
    assert second.poll() is None
    assert missing(_travelled(log), committed(database)) == []
    assert gaps(_travelled(log)) == []


def test_a_relay_that_wakes_up_after_another_took_over_leaves_no_gap(
    database: Database, log: Path, start_process: StartProcess
) -> None:
    """It was stopped in the middle of a batch and goes on sending the rest of it: late, but nothing new."""
    if database.dialect.name == "sqlite":
        pytest.skip("a stopped process may hold the one lock of the file")
    commit_keys(database, range(KEYS), rounds=ROUNDS)
    gate = Path(f"{log}.gate")
    os.mkfifo(gate)
    sleeper = start_process(hold_at=31, stay=1)
    assert wait_for(lambda: _count(log) == 31, 30)
    sleeper.send_signal(signal.SIGSTOP)

    other = start_process(stay=1)
    commit_keys(database, range(KEYS))
    assert wait_for(lambda: backlog(database) == 0, 30)
    before = _count(log)
    sleeper.send_signal(signal.SIGCONT)
    gate.open("wb").close()
    assert wait_for(lambda: _count(log) == before + 9, 30), "the sleeper does not go on with the rest of its batch"
    assert wait_for(lambda: _owners(database) == 2, 30)
    commit_keys(database, range(KEYS))

    assert wait_for(lambda: backlog(database) == 0, 30)
    assert other.poll() is None
    assert missing(_travelled(log), committed(database)) == []
    assert gaps(_travelled(log)) == []


def test_killed_again_and_again_at_any_time(
    database: Database, log: Path, start_process: StartProcess, start_relay: StartRelay
) -> None:
    chance = random.Random(7)
    points = ["relay.after_select", "relay.after_ack", "relay.after_delete"]
    for _ in range(2):
        commit_keys(database, range(KEYS), rounds=chance.randint(1, 4))
        processes = [
            start_process(
                f"{chance.choice(points)}=kill@{chance.randint(1, 6)}",
                batch_size=chance.choice([1, 7, 50]),
                stay=1,
            )
            for _ in range(2)
        ]
        commit_keys(database, range(KEYS), rounds=chance.randint(1, 4))

        def all_killed(processes: list[subprocess.Popen[bytes]] = processes) -> bool:
            commit_keys(database, [chance.randrange(KEYS)])
            return all(process.poll() is not None for process in processes)

        assert wait_for(all_killed, 60)
        assert [process.returncode for process in processes] == [-signal.SIGKILL] * 2

    _drain(database, log, start_relay)
    assert missing(_travelled(log), committed(database)) == []
    assert gaps(_travelled(log)) == []


@pytest.mark.parametrize("failpoint", ["relay.after_select=kill@2", ""])
def test_the_checker_catches_a_relay_that_deletes_before_the_broker_has_it(
    database: Database, log: Path, start_process: StartProcess, start_relay: StartRelay, failpoint: str
) -> None:
    commit_keys(database, range(KEYS), rounds=ROUNDS)
    assert _is_killed(start_process(failpoint, mutant=1, die_after=33))
    _drain(database, log, start_relay)

    assert missing(_travelled(log), committed(database)) != []


def _drain(database: Database, log: Path, start_relay: StartRelay) -> None:
    """The next start of the service, in this process."""
    producer = FileProducer(str(log))
    start_relay(database, lambda _: producer, "the next start", batch_size=20)
    assert wait_for(lambda: backlog(database) == 0, 30)


def _owners(database: Database) -> int:
    return len(
        {lease.owner for lease in outbox_status(database).leases if lease.owner and lease.expires_in_ms > 0}
    )
