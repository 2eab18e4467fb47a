"""Health over HTTP: an ASGI application without a framework, to mount into one or to serve by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from streambind.application import StreamApplication
from streambind.management.health import HealthStatus, health

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class HealthApp:
    """The ASGI application of `health_app`. An object rather than a function: as a route's endpoint a framework
    calls it as what it is, not as a handler of requests."""

    def __init__(self, application: StreamApplication) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any = None, send: Any = None) -> Any:
        # Typed so loosely that a type checker takes it for an endpoint too.
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        if scope["type"] != "http":
            return
        if scope["method"] not in ("GET", "HEAD"):
            await _respond(send, 405, {"error": "GET only"}, [(b"allow", b"GET, HEAD")])
            return
        report = await asyncio.to_thread(health, self._application)
        status = 503 if report.status is HealthStatus.DOWN else 200
        await _respond(send, status, report.as_dict(), body=scope["method"] == "GET")


def health_app(application: StreamApplication) -> HealthApp:
    """An ASGI application that answers GET with the health as JSON: `api.mount("/health", health_app(stream))`
    answers at /health/, and Starlette and FastAPI redirect /health there. To answer both, without a redirect:
    `api.add_route("/health", app)` beside `api.mount("/health", app)`.

    Status 200 while the application is up or degraded, 503 when it is down or does not run. It shows names of
    bindings, destinations and groups and the texts of errors: mount it where only operators can reach it.
    """
    return HealthApp(application)


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
