"""Which tables a piece of SQL text writes to (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

# Comments and strings have been blanked before the search: between words there is white space only.
_IDENTIFIER = r'(?:\w+|"[^"]+"|`[^`]+`|\[[^\]]+\])'
_ONLY = r"(?:\s+only\b)?"
_MODIFIERS = r"(?:\s+(?:low_priority|high_priority|delayed|quick|ignore))*"
# MySQL leaves INTO out, and has functions of the same names; and a table of DELETE may stand before FROM.
_NAME_FOLLOWS = r"(?=\s+[\w`])"
_VERB = (
    rf"\b(?P<verb>insert(?:\s+or\s+\w+)?{_MODIFIERS}(?:\s+into|{_NAME_FOLLOWS})"
    rf"|replace{_MODIFIERS}(?:\s+into|{_NAME_FOLLOWS})|merge\s+into{_ONLY}"
    rf"|(?<!key )update(?:\s+or\s+\w+)?{_MODIFIERS}{_ONLY}"
    rf"|delete{_MODIFIERS}(?:\s+from{_ONLY}|(?:\s+[\w`.]+\s*,)*{_NAME_FOLLOWS})"
    r"|load\s+(?:data|xml)\b[^;]*?\binto\s+table"
    rf'|truncate(?:\s+table)?(?:{_ONLY}\s*[\w".()*]+\s*,)*{_ONLY})'
)
_BEFORE_NAME = r'(?:\s+|(?=["`\[(])|(?<=,))(?:\(\s*)?'
_QUALIFIER = rf"(?:(?:{_IDENTIFIER}\s*\.\s*)?(?P<schema>{_IDENTIFIER})\s*\.\s*)?"

# What is not statement: strings (quoted by '' or $tag$; E'' has backslashes) and comments. A quoted name is kept:
# it may hold a quote of the other kind.
_NOT_STATEMENT = re.compile(
    r"""(?P<name>"[^"]*")|[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'"""
    r"""|\$(?P<tag>\w*)\$(?P<body>.*?)\$(?P=tag)\$|/\*M?!\d*(?P<run>.*?)\*/|/\*.*?\*/|--[^\n]*""",
    re.DOTALL,
)
_ANONYMOUS_BLOCK = re.compile(r"\bdo(?:\s+language\s+\w+)?\s*$", re.IGNORECASE)
_QUOTES = str.maketrans("", "", '"`[]')

LONGEST_REMEMBERED = 4096


class Written(NamedTuple):
    """A table that a statement writes to, in lower case. `removes`: rows may go away."""

    name: str
    schema: str | None
    removes: bool


class DmlText:
    """Finds writes to a fixed set of tables. Thread-safe."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple({name.lower() for name in names})
        either = "|".join(re.escape(name) for name in sorted(self._names, key=len, reverse=True))
        name = rf'{_QUALIFIER}["`\[]?(?P<name>{either})["`\]]?(?![\w"`])'
        self._write = re.compile(f"{_VERB}{_BEFORE_NAME}{name}", re.IGNORECASE | re.DOTALL)
        # MySQL's UPDATE of several tables.
        self._assigned = re.compile(
            rf'(?:\bset\s+|,\s*)[`"]?(?P<name>{either})[`"]?\s*\.\s*[`"]?\w+[`"]?\s*=', re.IGNORECASE
        )
        self._remembered = lru_cache(maxsize=1024)(self._find)

    def written(self, sql: str) -> tuple[Written, ...]:
        """The tables of the set that the text writes to, once for each time that it does."""
        if not self._names:
            return ()
        return self._remembered(sql) if len(sql) <= LONGEST_REMEMBERED else self._find(sql)

    def _find(self, sql: str) -> tuple[Written, ...]:
        # Most texts are told at once: they name none of the tables.
        lowered = sql.lower()
        if not any(name in lowered for name in self._names):
            return ()
        statement = _NOT_STATEMENT.sub(_blank, sql)
        written = [_written(match) for match in self._write.finditer(statement)]
        known = {each.name for each in written}
        assigned = {match["name"].lower() for match in self._assigned.finditer(statement)} - known
        return (*written, *(Written(name, None, removes=False) for name in sorted(assigned)))


def _written(match: re.Match[str]) -> Written:
    schema: str | None = match["schema"]
    return Written(
        match["name"].lower(),
        schema.translate(_QUOTES).lower() if schema else None,
        match["verb"].lower().startswith(("delete", "truncate", "replace", "merge")),
    )


def _blank(match: re.Match[str]) -> str:
    if match["name"]:
        return match["name"]
    if match["run"] is not None:
        return f" {match['run']} "  # MySQL runs what stands in such a comment.
    body: str | None = match["body"]
    # The body of DO $$ ... $$ runs now, that of CREATE FUNCTION does not.
    if body is not None and _ANONYMOUS_BLOCK.search(match.string, 0, match.start()):
        return f" {body} "
    return " "
