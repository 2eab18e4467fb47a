"""Foreign text made harmless: what a broker, a database or another service says may not steer the terminal."""

from __future__ import annotations

import json
import unicodedata

_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories: control characters (escape sequences begin with one), invisible format characters (they
can reverse the order of a line), halves of surrogate pairs (they cannot be written), separators of lines."""

_HARMLESS = frozenset({"\u200c", "\u200d"})
"""Joiners, which several scripts and most emoji need."""


def visible(value: object, *, lines: bool = False) -> str:
    """Text of one line in which every character that could steer a terminal is an escape such as `\\x1b`.
    Bytes that are not UTF-8 become escapes too. With `lines`, line ends stay."""
    text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
    if text.isprintable():
        return text
    return "".join(_escape(character, lines) for character in text)


def visible_json(value: object, *, indent: int | None = None) -> str:
    """JSON with readable letters of every script, and steering characters as JSON's own escapes.

    Raises:
        ValueError: a number has no JSON form.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str, allow_nan=False)
    if text.isprintable():
        return text
    # Outside of strings JSON holds no such character but the line ends of `indent`.
    return "".join(c if c == "\n" or not _is_steering(c) else json.dumps(c)[1:-1] for c in text)


def is_text(value: bytes) -> bool:
    """Whether bytes are meant to be read: UTF-8 without control characters but those of laid out text."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return False
    return not any(unicodedata.category(c) == "Cc" and c not in "\t\n\r" for c in text)


def _escape(character: str, lines: bool) -> str:
    if not _is_steering(character) or (lines and character == "\n"):
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def _is_steering(character: str) -> bool:
    return unicodedata.category(character) in _STEERING and character not in _HARMLESS
