"""What the demo says when something does not come out right, and where it finds the sample."""

from __future__ import annotations

import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

import streambind as package
from streambind.cli import demo as demo_command
from streambind.cli.demo_services import Answer, DemoError, Service, sample_folder
from streambind.errors import ConfigurationError
from tests.unit.cli.conftest import Run


def test_a_step_that_fails_shows_expected_got_and_the_log(
    streambind: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "lecture.log"
    log.write_text("".join(f"line {number}\n" for number in range(40)) + "the reason \x1b[2J\n")

    def broken(folder: Path, topic: str) -> AbstractContextManager[str]:
        process = subprocess.Popen(["true"])
        process.wait()
        raise DemoError("GET /readCategories/1 -> 404", "200 {}", Service("lecture", process, log))

    monkeypatch.setattr(demo_command, "embedded_broker", broken)
    result = streambind("demo")
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert lines[:3] == [
        "error  the demo failed: starting",
        "  expected  GET /readCategories/1 -> 404",
        "  got       200 {}",
    ]
    assert lines[-1] == "    the reason \\x1b[2J"
    assert "line 39" in result.stderr
    assert "line 20\n" not in result.stderr


def test_a_service_that_ends_too_early_fails_the_demo(tmp_path: Path) -> None:
    process = subprocess.Popen(["false"])
    service = Service("category", process, tmp_path / "log")
    with pytest.raises(DemoError, match="exit code 1") as caught:
        service.wait_until(lambda: False, "its health")
    assert caught.value.service is service


def test_the_sample_is_taken_from_the_checkout_before_a_packed_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "__file__", str(tmp_path / "streambind" / "__init__.py"))
    with pytest.raises(ConfigurationError, match="lacks the sample"):
        sample_folder()
    for folder in (tmp_path / "streambind" / "demo", tmp_path):
        (folder / "sample_app").mkdir(parents=True)
        (folder / "config" / "category").mkdir(parents=True)
        assert sample_folder() == folder


def test_missing_requirements_are_named(streambind: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = streambind("demo")
    assert result.exit_code == 1
    assert "pip install 'streambind[demo]'" in result.stderr


def test_an_answer_is_shown_whole() -> None:
    assert str(Answer(200, {"categoryName": "최종", "_links": {}})) == '200 {"categoryName":"최종","_links":{}}'
    assert str(Answer(404, None)) == "404"


def test_a_service_that_dies_over_a_request_does_not_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def end_after_the_head() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

        process = subprocess.Popen(["true"])
        process.wait()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with ThreadPoolExecutor() as pool:
            ended = pool.submit(end_after_the_head)
            with pytest.raises(DemoError, match="an answer to GET /health/"):
                Service("lecture", process, tmp_path / "log", url).call("GET", "/health/")
            ended.result()
