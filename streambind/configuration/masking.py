"""Secrets: which names and values hold them, and how a value is shown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydantic import SecretStr

MASK = "******"

_SECRET = re.compile(
    r"passw|passphrase|secret|token|credential|jaas|private|api.?key|access.?key|key.?pem|store.?key$"
)
_LITERAL = re.compile(
    r"(password|passwd|passphrase|secret|token|credentials?|privatekey|apikey|accesskey|keypem|jaasconfig|storekey)$"
)
_URL_PASSWORD = re.compile(r"(?P<before>[A-Za-z][A-Za-z0-9+.\-]*://[^/\s:@?#]*:)\S*(?=@)")
_QUERY_PASSWORD = re.compile(
    r"(?P<before>[?&;](?:password|passwd|secret|token|sslpassword)=)[^&;\s]+", re.IGNORECASE
)


def is_secret(name: str) -> bool:
    """Whether a property or variable of this name is never shown."""
    return _SECRET.search(name.lower()) is not None


def should_not_be_literal(name: str, value: str) -> bool:
    """Whether the value belongs into an environment variable rather than into a file."""
    if _LITERAL.search(re.sub(r"[^a-z0-9]", "", name.lower())):
        return bool(value)
    return _URL_PASSWORD.search(value) is not None


def without_url_passwords(text: str) -> str:
    return _QUERY_PASSWORD.sub(rf"\g<before>{MASK}", _URL_PASSWORD.sub(rf"\g<before>{MASK}", text))


def shown(name: str, value: object, *, secret: bool = False) -> str:
    """A value as it may be printed and logged: nothing of a secret, an address without its password."""
    if secret or isinstance(value, SecretStr) or is_secret(name):
        return MASK if value not in ("", None) else ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return without_url_passwords(str(value))
    if isinstance(value, Iterable):
        return ",".join(shown(name, item) for item in value)
    return without_url_passwords(str(value))
