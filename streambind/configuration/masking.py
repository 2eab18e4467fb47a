"""Secrets: which names and values hold them, and how a value is shown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydantic import SecretStr

MASK = "******"

_SECRET = re.compile(
    r"passw|passphrase|secret|token|credential|jaas|private|api.?key|access.?key|key.?pem|store.?key$"
    r"|oauth.?bearer.?config|auth.?user.?info|pwd$|(?:^|[._\-])pw$"
)
_LITERAL = re.compile(
    r"(password|passwd|passphrase|secret|token|credentials?|privatekey|apikey|accesskey|keypem|jaasconfig|storekey)$"
)
_URL_PASSWORD = re.compile(r"(?P<before>[A-Za-z][A-Za-z0-9+.\-]*://[^/\s:@?#]*:)\S*(?=@)")
_NAMED_PASSWORD = re.compile(
    r"(?P<before>(?:^|[?&;,\s])(?:[\w.\-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|pwd)"
    r"|pw)\s*=\s*)(?:'[^']*'|\"[^\"]*\"|[^&;\s]+)",
    re.IGNORECASE,
)
"""In the query of an address, and in pairs such as those of libpq: `host=h password=x`."""


def is_secret(name: str) -> bool:
    """Whether a property or variable of this name is never shown."""
    return _SECRET.search(name.lower()) is not None


def should_not_be_literal(name: str, value: str) -> bool:
    """Whether the value belongs into an environment variable rather than into a file."""
    if _LITERAL.search(re.sub(r"[^a-z0-9]", "", name.lower())):
        return bool(value)
    return _URL_PASSWORD.search(value) is not None


def without_url_passwords(text: str) -> str:
    """The text with the passwords in it masked: those of addresses, of their queries, and of pairs `password=`."""
    return _NAMED_PASSWORD.sub(rf"\g<before>{MASK}", _URL_PASSWORD.sub(rf"\g<before>{MASK}", text))


def shown_url(url: object) -> str:
    """An address, SQLAlchemy's URL or text, as it may be printed and logged."""
    return without_url_passwords(url if isinstance(url, str) else repr(url))


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
