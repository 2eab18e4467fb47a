"""A contest held: every contender once in each turn, each time in a process of its own."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from typing import Any

from benchmarks.contest import Contender, Contest, Course
from benchmarks.environments import ROOT, python_of, versions
from benchmarks.servers import Servers

TIMEOUT_S = 900

PACKAGES = (
    "streambind", "confluent-kafka", "pydantic", "sqlalchemy", "psycopg", "faststream", "aiokafka", "quixstreams",
    "kstreams",
)  # fmt: skip
"""Whose versions are named beside the figures."""

Results = dict[str, dict[str, list[dict[str, float]]]]
"""By course and contender: the figures of each turn."""


class ContenderFailed(Exception):
    """A contender ended without figures; the message has the end of what it printed."""


def hold(
    contest: Contest, servers: Servers, *, runs: int, scale: float, only: str | None, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Hold a contest; returns its record, which can be written as JSON. `scale` is handed to `prepare` within the
    course, to shorten the whole. `only`: the limit, and contenders with this in their names.

    Raises:
        ContenderFailed: one of them did not do its work.
    """
    chosen = [
        each for number, each in enumerate(contest.contenders) if only is None or number == 0 or only in each.name
    ]
    for contender in chosen:
        python_of(contender.environment)
    surroundings = _surroundings(chosen)
    results: Results = {}
    for label, given in contest.courses.items():
        course = {**contest.prepare(servers, {"scale": scale, **given}), "brokers": servers.brokers}
        figures = results.setdefault(label, {each.name: [] for each in chosen})
        for turn in range(runs):
            for contender in chosen:
                tell(f"{contest.name} {label}: turn {turn + 1} of {runs}, {contender.name}")
                figures[contender.name].append(_once(contest, contender, servers, course))
    asked = {"servers": servers.versions(contest.database)}
    return {"contest": contest.name, "scale": scale, **surroundings, **asked, "results": results}


def _once(contest: Contest, contender: Contender, servers: Servers, course: Course) -> dict[str, float]:
    with servers.database(contest.database) if contest.database else nullcontext() as database:
        whole = {**course, **contender.arguments, "database": database}
        command = [python_of(contender.environment), "-m", "benchmarks.run_contender", contender.function]
        code, output, errors = _run([*command, json.dumps(whole)])
    if code != 0:
        why = f"did not end within {TIMEOUT_S} s" if code is None else "failed"
        raise ContenderFailed(f"{contest.name}: {contender.name} {why}\n{output[-2000:]}{errors[-4000:]}")
    figures: dict[str, float] = json.loads(output.rstrip().rpartition("\n")[2])
    return figures


def _run(command: list[str]) -> tuple[int | None, str, str]:
    """Exit code, None if it did not end in time, and what it printed. Processes that it has started end with it:
    they would work beside the next contender."""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        code: int | None = None
        output = errors = ""
        try:
            output, errors = process.communicate(timeout=TIMEOUT_S)
            code = process.returncode
        except subprocess.TimeoutExpired:
            pass
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        if code is None:
            output, errors = process.communicate()
    return code, output, errors


def _surroundings(contenders: list[Contender]) -> Mapping[str, Any]:
    installed = {each.environment: versions(each.environment, PACKAGES) for each in contenders}
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}",
        "load": round(os.getloadavg()[2] if hasattr(os, "getloadavg") else 0.0, 1),
        "python": platform.python_version(),
        "versions": installed,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or sys.platform
