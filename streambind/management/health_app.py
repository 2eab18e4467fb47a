"""Health over HTTP: an ASGI application without a framework, to mount into one or to serve by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from streambind.application import StreamApplication
from streambind.management.health import HealthStatus, health

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApplication = Callable[[Scope, Receive, Send], Awaitable[None]]


def health_app(application: StreamApplication) -> AsgiApplication:
    """An ASGI application that answers GET with the health as JSON: `api.mount("/health", health_app(stream))`.

    Status 200 while the application is up or degraded, 503 when it is down or does not run. It shows names of
    bindings, destinations and groups and the texts of errors: mount it where only operators can reach it.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        if scope["type"] != "http":
            return
        if scope["method"] not in ("GET", "HEAD"):
            await _respond(send, 405, {"error": "GET only"}, [(b"allow", b"GET, HEAD")])
            return
        report = await asyncio.to_thread(health, application)
        status = 503 if report.status is HealthStatus.DOWN else 200
        await _respond(send, status, report.as_dict(), body=scope["method"] == "GET")

    return answer


async def _respond(
    send: Send,
    status: int,
    document: object,
    headers: list[tuple[bytes, bytes]] | None = None,
    *,
    body: bool = True,
) -> None:
    data = json.dumps(document, ensure_ascii=False).encode()
    named = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": named + (headers or [])})
    await send({"type": "http.response.body", "body": data if body else b""})
