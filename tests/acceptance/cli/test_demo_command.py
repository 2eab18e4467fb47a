"""`streambind demo` from the checkout and from an installed wheel."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from streambind.testing.eventually import eventually
from tests.acceptance.cli.conftest import NOWHERE, WITHIN_S, Shell

REPOSITORY = Path(__file__).parents[3]

STEPS = ["POST /lectureCategories", "PUT /lectureCategories/1", "DELETE /lectureCategories/2"]


def _assert_all_right(output: str) -> None:
    for step in STEPS:
        assert step in output
    assert output.count("topic      p0 @") == 4
    assert '"jobType":"DELETE"' in output
    [link] = set(re.findall(r"http[^\s\"]+/readCategories/1(?=\")", output))
    links = f'{{"self":{{"href":"{link}"}},"category":{{"href":"{link}"}}}}'
    assert f'GET /readCategories/1 -> 200 {{"categoryName":"바뀐이름","_links":{links}}}' in output
    assert "GET /readCategories/2 -> 404" in output
    assert re.search(r"\nall right in \d+\.\d s\n", output)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_shows_the_job_and_ends_its_services(shell: Shell) -> None:
    began = time.monotonic()
    result = shell.run("demo")
    assert result.returncode == 0, result.stderr
    _assert_all_right(result.stdout)
    assert time.monotonic() - began < 60
    services = [int(number) for number in re.findall(r"process (\d+)", result.stdout)]
    assert len(services) == 2
    assert not any(map(_alive, services))


def test_a_record_that_is_not_the_documents_fails_it(shell: Shell) -> None:
    shell.environment["SPRING_CLOUD_STREAM_BINDINGS_OUTCATEGORYCHANGED_CONTENTTYPE"] = "application/x+json"
    result = shell.run("demo")
    assert result.returncode == 1
    assert "all right" not in result.stdout
    assert "expected  key=1  contentType=application/json  type=LectureCategoryChanged" in result.stderr
    assert "got       key=1  contentType=application/x+json  type=LectureCategoryChanged" in result.stderr


def test_your_own_kafka_gets_a_topic_of_the_demos_own(shell: Shell, kafka: str) -> None:
    result = shell.run("demo", "--brokers", kafka)
    assert result.returncode == 0, result.stderr
    _assert_all_right(result.stdout)
    assert re.search(r"topic categoryChanged-demo-\w{8} stays on your broker", result.stdout)


def test_a_kafka_that_is_away_is_said_before_anything_starts(shell: Shell) -> None:
    result = shell.run("demo", "--brokers", NOWHERE)
    assert result.returncode == 3
    assert result.stderr.startswith(f"error  the broker {NOWHERE} does not answer")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_kept_services_answer_until_the_signal(shell: Shell, number: signal.Signals, code: int) -> None:
    with shell.started("demo", "--keep") as demo:
        demo.says("streambind status http")
        [url] = re.findall(r"curl (http\S+)/readCategories/3", demo.output)
        with urlopen(f"{url}/health/", timeout=10) as answer:
            assert answer.status == 200
        assert demo.end(number) == code
    assert "Traceback" not in demo.output
    assert not any(map(_alive, map(int, re.findall(r"process (\d+)", demo.output))))


def test_ctrl_c_in_the_middle_leaves_nothing_running(shell: Shell) -> None:
    with shell.started("demo") as demo:
        demo.says("lecture ")
        assert demo.end(signal.SIGINT) == 130
    services = [int(number) for number in re.findall(r"process (\d+)", demo.output)]
    eventually(lambda: not any(map(_alive, services)), WITHIN_S, "the services have ended")
    assert "Traceback" not in demo.output


@pytest.mark.skipif(
    os.environ.get("CI") != "true", reason="slow, and installs from a registry: runs where CI=true"
)
@pytest.mark.timeout(600)
def test_an_installed_wheel_runs_it_outside_of_the_repository(tmp_path: Path) -> None:
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    wheels, fresh = tmp_path / "wheels", tmp_path / "fresh"
    _run([uv, "build", "--quiet", "--wheel", "--out-dir", str(wheels), str(REPOSITORY)], tmp_path)
    [wheel] = wheels.glob("streambind-*.whl")
    _run([uv, "venv", "--quiet", "--python", sys.executable, str(fresh)], tmp_path)
    python = str(fresh / "bin" / "python")
    _run([uv, "pip", "install", "--quiet", "--python", python, f"{wheel}[demo]"], tmp_path)
    result = _run([str(fresh / "bin" / "streambind"), "demo"], tmp_path)
    _assert_all_right(result.stdout)
    where = _run(
        [python, "-c", "from streambind.cli.demo_services import sample_folder; print(sample_folder())"], tmp_path
    )
    assert Path(where.stdout.strip()).is_relative_to(fresh)


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, timeout=300, encoding="utf-8", check=False
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result
