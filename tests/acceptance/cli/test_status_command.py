"""`streambind status` of a running application, over HTTP."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from streambind.testing.eventually import eventually
from tests.acceptance.cli.conftest import NOWHERE, Inside, Shell

BINDING = {
    "name": "in-a",
    "direction": "in",
    "status": "up",
    "state": "running",
    "destination": "a",
    "group": "g",
    "assigned": ["a[0]"],
    "stalled": {},
    "retrying": {},
    "last_error": None,
    "counts": {"handled": 3},
}


def _document(status: str, **fields: Any) -> bytes:
    return json.dumps(
        {"status": status, "running": True, "bindings": [BINDING], "outbox": None, **fields}
    ).encode()


@contextmanager
def _answering(code: int, body: bytes) -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/health"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("word", "answer", "code"), [("up", 200, 0), ("degraded", 200, 1), ("down", 503, 1)])
def test_the_word_decides_the_exit_code(inside: Inside, word: str, answer: int, code: int) -> None:
    with _answering(answer, _document(word)) as url:
        result = inside.run("status", url)
    assert result.stdout.startswith(f"{word}  {url}")
    assert "a[0]" in result.stdout
    assert "handled 3" in result.stdout
    assert result.returncode == code


def test_json_is_the_document(inside: Inside) -> None:
    with _answering(200, _document("up")) as url:
        assert json.loads(inside.run("status", url, "--json").stdout)["bindings"] == [BINDING]


def test_nobody_there_exits_with_3(inside: Inside) -> None:
    result = inside.run("status", f"http://{NOWHERE}/health")
    assert result.returncode == 3
    assert result.stderr == f"error  http://{NOWHERE}/health does not answer: [Errno 111] Connection refused\n"


@pytest.mark.parametrize(
    ("code", "body"),
    [(404, b""), (500, b"x"), (200, b"<html>"), (200, b"[]"), (200, b'{"status": "UP"}'), (200, b"\xff\x1b")],
)
def test_something_else_says_how_to_mount_health(inside: Inside, code: int, body: bytes) -> None:
    with _answering(code, body) as url:
        result = inside.run("status", url)
    assert result.returncode == 1
    assert "health_app(stream)" in result.stderr
    assert "Traceback" not in result.stderr


def test_watch_looks_again_until_ctrl_c(shell: Shell) -> None:
    with (
        _answering(200, _document("degraded")) as url,
        shell.started("status", url, "--watch", "--json") as watch,
    ):
        watch.says("degraded")
        eventually(lambda: watch.output.count("degraded") > 1, 20, lambda: watch.output)
        assert watch.end(signal.SIGINT) == 0
    assert all(json.loads(line)["status"] == "degraded" for line in watch.output.splitlines())
