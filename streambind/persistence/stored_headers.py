"""Headers as a row keeps them: a JSON array of `[name, text]`, in wire order."""

from __future__ import annotations

import json

from streambind.message import RawHeaders


def store_headers(headers: RawHeaders) -> str:
    """The text of the column. Any bytes survive: what is not UTF-8 becomes lone surrogates, escaped in ASCII."""
    return json.dumps(
        [(name, None if value is None else value.decode("utf-8", "surrogateescape")) for name, value in headers],
        separators=(",", ":"),
    )


def load_headers(text: str) -> list[tuple[str, bytes | None]]:
    """The headers that `store_headers` wrote."""
    return [
        (name, None if value is None else value.encode("utf-8", "surrogateescape"))
        for name, value in json.loads(text)
    ]
