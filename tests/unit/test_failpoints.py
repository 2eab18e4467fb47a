"""Failpoints: nothing without the environment, and then exactly what it asks for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from streambind.failpoints import FailpointError, _armed, _parse, failpoint

PASS = """
import sys
from streambind.failpoints import failpoint
for number in range(1, 4):
    print(number, flush=True)
    failpoint("a.b")
"""


def environment(setting: str | None) -> dict[str, str]:
    path = {"PYTHONPATH": ":".join(sys.path)}
    return path if setting is None else {**path, "STREAMBIND_FAILPOINTS": setting}


def run(setting: str | None) -> subprocess.CompletedProcess[str]:
    """A program that passes `a.b` three times."""
    command = [sys.executable, "-c", PASS]
    return subprocess.run(
        command, env=environment(setting), capture_output=True, text=True, timeout=60, check=False
    )


def test_without_the_variable_nothing_happens() -> None:
    failpoint("relay.after_ack")
    assert run(None).stdout.split() == ["1", "2", "3"]
    assert run("").returncode == 0


def test_other_names_are_passed() -> None:
    assert run("a.c=kill,a=raise").stdout.split() == ["1", "2", "3"]


def test_kill_ends_the_process_at_once_at_the_passing_that_is_named() -> None:
    done = run("a.b=kill@2")
    assert (done.returncode, done.stdout.split()) == (-signal.SIGKILL, ["1", "2"])


def test_without_a_number_it_kills_at_the_first_passing() -> None:
    done = run(" a.b=kill ,")
    assert (done.returncode, done.stdout.split()) == (-signal.SIGKILL, ["1"])


def test_stop_lets_the_process_stand_still_until_it_is_told_to_go_on() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PASS], env=environment("a.b=stop@2"), stdout=subprocess.PIPE, text=True
    ) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        process.send_signal(signal.SIGCONT)
        assert process.communicate(timeout=60)[0].split() == ["1", "2", "3"]
        assert process.returncode == 0


def test_raise_raises_at_each_passing() -> None:
    hit = _armed(_parse("a.b=raise"))
    for _ in range(3):
        with pytest.raises(FailpointError, match=r"a\.b"):
            hit("a.b")


def test_raise_with_a_number_raises_at_that_passing_only() -> None:
    hit = _armed(_parse("x=raise,a.b=raise@2"))
    hit("a.b")
    with pytest.raises(FailpointError):
        hit("a.b")
    hit("a.b")


def test_passings_of_all_threads_are_counted_together() -> None:
    hit = _armed(_parse("a.b=raise@50"))

    def passed(_: int) -> bool:
        try:
            hit("a.b")
        except FailpointError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(passed, range(100))) == [False] + [True] * 99


@pytest.mark.parametrize(
    "text",
    [
        "a.b",
        "a.b=",
        "a.b=crash",
        "a.b=kill@",
        "a.b=kill@x",
        "a.b=kill@-1",
        "=kill",
        "a.b=kill@0",
        "a.b=kill@٣",
        "a@2=kill",
    ],
)
def test_a_setting_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not of the form name=kill\|stop\|raise"):
        _parse(text)
