"""Profiles: which are active, and which documents they activate.

Spring's grammar (`ProfilesParser`): names, `!`, `&`, `|` and parentheses; `&` and `|` are not mixed without
parentheses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from streambind.configuration.flat import Flat, Value

ON_PROFILE = "spring.config.activate.on-profile"
LEGACY = "spring.profiles"
ACTIVE, INCLUDE, DEFAULT, GROUP = (f"spring.profiles.{key}" for key in ("active", "include", "default", "group"))

_MAX_LENGTH = 250
_TOKEN = re.compile(r"\s*([()&|!]|[^()&|!\s]+(?:\s+[^()&|!\s]+)*)\s*")
_NAME = re.compile(r"[^\W_](?:[\w\-.+@]*[^\W_])?")

Expression = Callable[[frozenset[str]], bool]


class MalformedExpression(ValueError):
    """A profile expression that Spring would refuse."""


@dataclass(frozen=True, slots=True)
class Condition:
    """When a document is active: when one of its expressions holds."""

    expressions: tuple[Expression, ...]
    names: tuple[str, ...]

    def holds(self, active: Iterable[str]) -> bool:
        profiles = frozenset(active)
        return any(expression(profiles) for expression in self.expressions)

    def would_hold_with(self, active: Sequence[str]) -> tuple[str, ...]:
        """The profiles each of which, added to the active ones, activates the document; all of the named ones
        if only together they do; none if adding does not help."""
        alone = tuple(name for name in self.names if self.holds((*active, name)))
        if alone:
            return alone
        return self.names if self.holds((*active, *self.names)) else ()


def parse_condition(texts: Iterable[str]) -> Condition:
    """A condition from expressions, any of which suffices.

    Raises:
        MalformedExpression: one of them is no expression.
    """
    expressions: list[Expression] = []
    names: list[str] = []
    for text in texts:
        parser = _Parser(text)
        expressions.append(parser.parse())
        names += parser.names
    return Condition(tuple(expressions), tuple(dict.fromkeys(names)))


def names_of(values: Iterable[Value]) -> list[str]:
    """The names in a list, or in a text with commas."""
    return [name for v in values for part in str(v.value).split(",") if (name := part.strip())]


def is_valid_profile(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def expand_groups(names: Iterable[str], flat: Flat) -> list[str]:
    """Each profile followed by the members of its group (`spring.profiles.group.<name>`), each once."""
    found: dict[str, None] = {}
    waiting = list(names)[::-1]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = None
            waiting += names_of(flat.items(f"{GROUP}.{name}"))[::-1]
    return list(found)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.names: list[str] = []
        self.tokens: list[str] = []
        self.at = 0

    def parse(self) -> Expression:
        if len(self.text) <= _MAX_LENGTH:
            self.tokens = [match[1] for match in _TOKEN.finditer(self.text)]
        expression = self._operands()
        if self.at < len(self.tokens):
            raise self._malformed()
        return expression

    def _operands(self) -> Expression:
        terms = [self._term()]
        operator = ""
        while self.at < len(self.tokens) and self.tokens[self.at] in "&|":
            if operator not in ("", self.tokens[self.at]):
                raise self._malformed()
            operator = self.tokens[self.at]
            self.at += 1
            terms.append(self._term())
        if operator == "&":
            return lambda active: all(term(active) for term in terms)
        return lambda active: any(term(active) for term in terms)

    def _term(self) -> Expression:
        if self.at >= len(self.tokens):
            raise self._malformed()
        token = self.tokens[self.at]
        self.at += 1
        if token == "!":
            inner = self._term()
            return lambda active: not inner(active)
        if token == "(":
            inner = self._operands()
            if self.at >= len(self.tokens) or self.tokens[self.at] != ")":
                raise self._malformed()
            self.at += 1
            return inner
        if token in ")&|":
            raise self._malformed()
        self.names.append(token)
        return lambda active: token in active

    def _malformed(self) -> MalformedExpression:
        shown = self.text if len(self.text) <= _MAX_LENGTH else self.text[:60] + "..."
        return MalformedExpression(
            f"malformed profile expression '{shown}'; write names with !, & and |, and parentheses where & and |"
            " are mixed"
        )
