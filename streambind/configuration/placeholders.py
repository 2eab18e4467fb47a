"""`${name:default}`: replaced by what another property or an environment variable says.

Names and defaults may hold placeholders themselves, and so may what a name stands for. The first colon that is
not escaped splits; `\\${` and `\\:` are a literal `${` and `:`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from streambind.configuration.masking import is_secret

MAX_LENGTH = 65_536
MAX_DEPTH = 32
_MAX_LOOKUPS = 2_000

_SPECIAL = re.compile(r"\\\$\{|\\:|\$\{|[{}:]")

Lookup = Callable[[str], str | None]
"""The raw text of a name, which may hold placeholders; None if nothing has that name."""


class UnresolvedPlaceholder(ValueError):
    """A placeholder without value; the message says what to do and holds no value of a property."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A text without placeholders. `secret`: a part of it comes from a name that a secret would have."""

    text: str
    secret: bool
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Placeholder:
    name: tuple[_Part, ...]
    default: tuple[_Part, ...] | None


_Part = str | _Placeholder


def resolve(text: str, lookup: Lookup) -> Resolved:
    """Replace every placeholder of a text.

    Raises:
        UnresolvedPlaceholder: one without value, one that needs itself, one that does not end, or a text that
            grows beyond any configuration.
    """
    if "${" not in text:
        return Resolved(text, False, ())
    resolver = _Resolver(lookup)
    resolved = resolver.text(text, ())
    return Resolved(resolved, any(map(is_secret, resolver.names)), tuple(resolver.names))


class _Resolver:
    def __init__(self, lookup: Lookup) -> None:
        self.lookup = lookup
        self.names: list[str] = []

    def text(self, text: str, path: tuple[str, ...]) -> str:
        if "${" not in text:
            return text
        return self.parts(_parse(text), path)

    def parts(self, parts: tuple[_Part, ...], path: tuple[str, ...]) -> str:
        pieces: list[str] = []
        size = 0
        for part in parts:
            pieces.append(part if isinstance(part, str) else self.value(part, path))
            size += len(pieces[-1])
            if size > MAX_LENGTH:
                raise UnresolvedPlaceholder(f"placeholders expand to more than {MAX_LENGTH} characters")
        return "".join(pieces)

    def value(self, placeholder: _Placeholder, path: tuple[str, ...]) -> str:
        name = self.parts(placeholder.name, path).strip()
        if name in path:
            chain = " -> ".join((*path[path.index(name) :], name))
            raise UnresolvedPlaceholder(f"the placeholder ${{{name}}} needs itself: {chain}")
        if len(path) >= MAX_DEPTH or len(self.names) >= _MAX_LOOKUPS:
            raise UnresolvedPlaceholder(f"the placeholder ${{{name}}} needs too many others")
        self.names.append(name)
        found = self.lookup(name)
        if found is not None:
            return self.text(found, (*path, name))
        if placeholder.default is not None:
            return self.parts(placeholder.default, path)
        if name.startswith("random."):
            raise UnresolvedPlaceholder(
                f"${{{name}}}: random values are not supported; set the property, or an environment variable"
            )
        raise UnresolvedPlaceholder(
            f"nothing has the name of the placeholder ${{{name}}}; set it as an environment variable or property,"
            f" or write ${{{name}:default}}"
        )


def _parse(text: str) -> tuple[_Part, ...]:
    return _parts(text, 0, 0, "")[0]


def _placeholder(text: str, start: int, depth: int) -> tuple[_Placeholder, int]:
    """The placeholder whose name starts here, and where the text goes on."""
    name, at = _parts(text, start, depth, ":}")
    if text[at] == "}":
        return _Placeholder(name, None), at + 1
    default, at = _parts(text, at + 1, depth, "}")
    return _Placeholder(name, default), at + 1


def _parts(text: str, start: int, depth: int, ends: str) -> tuple[tuple[_Part, ...], int]:
    """The parts from `start` to the first of the characters `ends` outside inner braces; with no `ends`, to the
    end of the text."""
    if depth > MAX_DEPTH:
        raise UnresolvedPlaceholder(f"placeholders are nested deeper than {MAX_DEPTH}")
    parts: list[_Part] = []
    braces = 0
    at = start
    while match := _SPECIAL.search(text, at):
        token = match[0]
        parts.append(text[at : match.start()])
        at = match.end()
        if token == "${":
            placeholder, at = _placeholder(text, at, depth + 1)
            parts.append(placeholder)
        elif token == "\\${" or (token == "\\:" and ":" in ends):
            parts.append(token[1:])
        elif token in ends and braces == 0:
            return tuple(parts), match.start()
        else:
            braces += (token == "{") - (token == "}")
            parts.append(token)
    if ends:
        raise UnresolvedPlaceholder("'${' without '}'; a literal '${' is written '\\${'")
    return (*parts, text[at:]), len(text)
