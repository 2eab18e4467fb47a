"""Asking a running application for its health over HTTP."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from streambind.cli.failures import UnreachableError
from streambind.errors import ConfigurationError

_TIMEOUT_S = 10
_MAX_BYTES = 16 * 1024 * 1024


def fetch_health(url: str) -> dict[str, Any]:
    """The document that `management.health_app` answers with; 503 is the answer of one that is down.

    Raises:
        UnreachableError: nobody answers.
        ConfigurationError: what answers is something else.
    """
    try:
        request = Request(url, headers={"Accept": "application/json"})
    except ValueError as error:
        raise ConfigurationError(f"{url!r} is no address") from error
    try:
        try:
            with urlopen(request, timeout=_TIMEOUT_S) as response:
                body = response.read(_MAX_BYTES)
        except HTTPError as error:
            with error:
                if error.code != 503:
                    raise ConfigurationError(f"{url} answers {error.code}{_REMEDY}") from error
                body = error.read(_MAX_BYTES)
    except (URLError, OSError, http.client.HTTPException, ValueError) as error:
        raise UnreachableError(f"{url} does not answer: {getattr(error, 'reason', None) or error}") from error
    return _health(url, body)


_REMEDY = ", not with the health of an application; mount it: api.mount('/health', health_app(stream))"


def _health(url: str, body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("status") not in ("up", "degraded", "down"):
        raise ConfigurationError(f"{url} answers{_REMEDY}")
    if not isinstance(document.get("bindings"), list):
        raise ConfigurationError(f"{url} answers{_REMEDY}")
    return document
