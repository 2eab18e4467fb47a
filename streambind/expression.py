"""Expressions as text: the part of Spring's expression language that is safe to take from a file.

    headers['type'] == 'LectureCategoryChanged' and not (payload.lecture.id == 7 or payload.draft)

Known are `headers['name']`, `payload` with any number of `.name`, text, numbers, `true`, `false`, `null`,
`==`, `!=`, `and` (`&&`), `or` (`||`), `not` (`!`) and parentheses. Names are those on the wire. Nothing is
called and nothing else is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Protocol

from streambind.errors import ConfigurationError


class Values(Protocol):
    """What an expression reads. `document` is the payload read as JSON, None for a tombstone; reading it may
    raise DecodeError."""

    @property
    def headers(self) -> Mapping[str, object]: ...
    @property
    def document(self) -> object: ...


Expression = Callable[[Values], object]
Predicate = Callable[[Values], bool]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
      | (?P<number>-?\d+(?:\.\d+)?(?![\w.]))
      | (?P<name>[A-Za-z_]\w*)
      | (?P<sign>==|!=|&&|\|\||[!()\[\].])
    )""",
    re.VERBOSE,
)
_CONSTANTS: dict[str, object] = {"true": True, "false": False, "null": None}
_SIGNS = {"&&": "and", "||": "or", "!": "not", "eq": "==", "ne": "!="}
_DEPTH = 50


def compile_expression(text: str) -> Expression:
    """The expression as a function of what it reads; see `compile_condition`.

    Raises:
        ConfigurationError: the text is not such an expression; the error names the column.
    """
    return _Parser(text).parse()


def compile_condition(text: str) -> Predicate:
    """The expression as a question.

    A header that is absent and a property that the payload does not have are null. A value that stands alone
    holds if it is true, or the text `true`. A truth value equals no number.

    Raises:
        ConfigurationError: the text is not such an expression; the error names the column.
    """
    expression = compile_expression(text)
    return lambda values: _truth(expression(values))


class _Parser:
    """Recursive descent: or < and < not < comparison < value."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._scan())
        self._at = 0
        self._depth = 0

    def parse(self) -> Expression:
        expression = self._or()
        if self._kind() != "end":
            raise self._refusal(f"{self._tokens[self._at][1]!r} is not expected here")
        return expression

    def _or(self) -> Expression:
        left = self._and()
        while self._take("or"):
            left = _either(left, self._and())
        return left

    def _and(self) -> Expression:
        left = self._not()
        while self._take("and"):
            left = _both(left, self._not())
        return left

    def _not(self) -> Expression:
        if not self._take("not"):
            return self._comparison()
        self._enter()
        operand = self._not()
        self._depth -= 1
        return lambda values: not _truth(operand(values))

    def _comparison(self) -> Expression:
        left = self._value()
        if self._take("=="):
            right = self._value()
            return lambda values: _equal(left(values), right(values))
        if self._take("!="):
            right = self._value()
            return lambda values: not _equal(left(values), right(values))
        return left

    def _value(self) -> Expression:
        kind, lexeme, _ = self._tokens[self._at]
        if self._take("("):
            self._enter()
            inner = self._or()
            self._expect(")")
            self._depth -= 1
            return inner
        if kind == "text":
            return self._constant(lexeme[1:-1].replace(lexeme[0] * 2, lexeme[0]))
        if kind == "number":
            return self._constant(float(lexeme) if "." in lexeme else int(lexeme))
        if kind == "name" and lexeme in _CONSTANTS:
            return self._constant(_CONSTANTS[lexeme])
        if self._take("headers"):
            return self._header()
        if self._take("payload"):
            return self._property()
        what = "the end" if kind == "end" else repr(lexeme)
        raise self._refusal(
            f"a value is expected, not {what}; there are headers['name'], payload.name, text and numbers"
        )

    def _constant(self, constant: object) -> Expression:
        self._at += 1
        return lambda values: constant

    def _header(self) -> Expression:
        self._expect("[")
        kind, lexeme, _ = self._tokens[self._at]
        if kind != "text":
            raise self._refusal("a header's name in quotes is expected")
        self._at += 1
        self._expect("]")
        name = lexeme[1:-1].replace(lexeme[0] * 2, lexeme[0])
        return lambda values: values.headers.get(name)

    def _property(self) -> Expression:
        path: list[str] = []
        while self._take("."):
            kind, lexeme, _ = self._tokens[self._at]
            if kind != "name" and lexeme not in ("and", "or", "not"):
                raise self._refusal("a property's name is expected")
            self._at += 1
            path.append(lexeme)
        if self._take("("):
            self._at -= 1
            raise self._refusal("methods are not called")

        def walk(values: Values) -> object:
            found = values.document
            for name in path:
                found = found.get(name) if isinstance(found, dict) else None
            return found

        return walk

    def _scan(self) -> list[tuple[str, str, int]]:
        tokens: list[tuple[str, str, int]] = []
        end = len(self._text.rstrip())
        position = 0
        while position < end:
            match = _TOKEN.match(self._text, position)
            if match is None:
                column = position + len(self._text[position:]) - len(self._text[position:].lstrip())
                raise _refusal(self._text, column, f"{self._text[column]!r} is not part of an expression")
            kind = match.lastgroup or "sign"
            lexeme = match[kind]
            if kind != "text":
                lexeme = _SIGNS.get(lexeme, lexeme)
            if lexeme in ("and", "or", "not", "==", "!="):
                kind = "sign"
            tokens.append((kind, lexeme, match.start(match.lastgroup or 0)))
            position = match.end()
        tokens.append(("end", "", end))
        return tokens

    def _kind(self) -> str:
        return self._tokens[self._at][0]

    def _take(self, lexeme: str) -> bool:
        kind, found, _ = self._tokens[self._at]
        if kind in ("sign", "name") and found == lexeme:
            self._at += 1
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise self._refusal(f"{sign!r} is expected")

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > _DEPTH:
            raise self._refusal(f"more than {_DEPTH} levels")

    def _refusal(self, reason: str) -> ConfigurationError:
        return _refusal(self._text, self._tokens[self._at][2], reason)


def _refusal(text: str, column: int, reason: str) -> ConfigurationError:
    return ConfigurationError(f"expression {text!r}, column {column + 1}: {reason}")


def _either(left: Expression, right: Expression) -> Expression:
    return lambda values: _truth(left(values)) or _truth(right(values))


def _both(left: Expression, right: Expression) -> Expression:
    return lambda values: _truth(left(values)) and _truth(right(values))


def _truth(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _equal(left: object, right: object) -> bool:
    # In Python True == 1; on the wire they are different things.
    return isinstance(left, bool) is isinstance(right, bool) and left == right
