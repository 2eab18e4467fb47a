"""Payloads made to hurt: marks without end, and names of fields that fake lines of the log."""

from __future__ import annotations

from datetime import UTC

import pytest

from streambind.conversion import JSON
from streambind.errors import DecodeError

MARK = b"\xef\xbb\xbf"


def test_one_byte_order_mark_is_left_out() -> None:
    assert JSON.decoder(dict[str, int], UTC)(MARK + b'{"a":1}') == {"a": 1}


def test_more_of_them_are_no_json() -> None:
    with pytest.raises(DecodeError):
        JSON.decoder(dict[str, int], UTC)(MARK * 300_000 + b'{"a":1}')


def test_a_reason_quotes_little_of_a_name_and_nothing_that_steers() -> None:
    name = "x\\n2026-11-30 CRITICAL audit \\u001b[31m" + "y" * 100_000
    with pytest.raises(DecodeError) as raised:
        JSON.decoder(dict[str, int], UTC)(f'{{"{name}":"no number"}}'.encode())
    told = str(raised.value)
    assert "\n" not in told
    assert "\x1b" not in told
    assert r"x\n2026-11-30 CRITICAL audit \x1b[31m" in told
    assert len(told) < 400
