"""Health over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from streambind import StreamApplication
from streambind.binding.binding import BindingState
from streambind.management import health_app
from tests.unit.management.applications import StagedApplication, an_input, partition

Event = MutableMapping[str, Any]


def _asked(application: StagedApplication, method: str = "GET", kind: str = "http") -> list[Event]:
    sent: list[Event] = []

    async def receive() -> Event:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(event: Event) -> None:
        sent.append(event)

    scope = {"type": kind, "method": method, "path": "/health/", "headers": []}

    async def ask() -> None:
        await health_app(application.as_application())(scope, receive, send)

    asyncio.run(ask())
    return sent


@pytest.mark.parametrize(
    ("application", "status", "word"),
    [
        (StagedApplication([an_input(partition(0))]), 200, "up"),
        (StagedApplication([an_input(state=BindingState.WAITING)]), 200, "degraded"),
        (StagedApplication([an_input(partition(0, stalled="최종 gap"))]), 503, "down"),
        (StagedApplication(is_running=False), 503, "down"),
    ],
)
def test_status_and_document_say_how_it_fares(application: StagedApplication, status: int, word: str) -> None:
    start, body = _asked(application)
    headers = dict(start["headers"])
    assert start["status"] == status
    assert headers[b"content-type"] == b"application/json"
    assert int(headers[b"content-length"]) == len(body["body"])
    assert json.loads(body["body"])["status"] == word


def test_head_has_no_body_and_the_same_length() -> None:
    application = StagedApplication([an_input()])
    start, body = _asked(application, "HEAD")
    assert body["body"] == b""
    assert dict(start["headers"]) == dict(_asked(application)[0]["headers"])


def test_other_methods_are_refused() -> None:
    start, _ = _asked(StagedApplication(), "POST")
    assert start["status"] == 405
    assert (b"allow", b"GET, HEAD") in start["headers"]


def test_a_websocket_is_closed() -> None:
    assert _asked(StagedApplication(), kind="websocket") == [{"type": "websocket.close", "code": 1000}]


def test_it_mounts_into_fastapi(tmp_path: Path) -> None:
    fastapi = pytest.importorskip("fastapi")
    httpx = pytest.importorskip("httpx")
    (tmp_path / "application.yaml").write_text(
        "spring.cloud.stream:\n  default-binder: memory\n  bindings.out-a.destination: a\n"
    )
    stream = StreamApplication(tmp_path, arguments=[])
    api = fastapi.FastAPI()
    api.mount("/health", health_app(stream))

    async def ask(path: str) -> Any:
        transport = httpx.ASGITransport(api)
        async with httpx.AsyncClient(transport=transport, base_url="http://here", follow_redirects=True) as client:
            return await client.get(path)

    assert asyncio.run(ask("/health")).status_code == 503
    with stream:
        answer = asyncio.run(ask("/health"))
    assert answer.status_code == 200
    assert [b["name"] for b in answer.json()["bindings"]] == ["out-a"]


def test_it_answers_with_and_without_a_slash(tmp_path: Path) -> None:
    fastapi = pytest.importorskip("fastapi")
    httpx = pytest.importorskip("httpx")
    api = fastapi.FastAPI()
    app = health_app(StagedApplication([an_input()]).as_application())
    api.add_route("/health", app)
    api.mount("/health", app)

    async def ask(method: str, path: str) -> Any:
        transport = httpx.ASGITransport(api)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://here", follow_redirects=False
        ) as client:
            return await client.request(method, path)

    for path in ("/health", "/health/"):
        answer = asyncio.run(ask("GET", path))
        assert (answer.status_code, answer.json()["status"]) == (200, "up")
        assert asyncio.run(ask("POST", path)).status_code == 405
