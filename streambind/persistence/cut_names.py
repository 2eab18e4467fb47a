"""Names that are made of others, and must not become too long."""

from __future__ import annotations

from hashlib import sha256

_HASH = 8


def cut_name(name: str, limit: int) -> str:
    """The name in at most `limit` bytes. A longer one is cut and ends with a hash of all of it, so that no two
    names become one."""
    encoded = name.encode()
    if len(encoded) <= limit:
        return name
    return f"{encoded[: limit - _HASH - 1].decode(errors='ignore')}_{sha256(encoded).hexdigest()[:_HASH]}"
