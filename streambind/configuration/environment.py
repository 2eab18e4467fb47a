"""Environment variables in Spring's spelling, as a source of configuration.

A variable overrides what the schema knows or what is declared elsewhere; alone it cannot introduce the name of a
binding, because `IN_CATEGORYCHANGED` does not tell how the name is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from streambind.configuration.finding import Finding, Origin, Severity
from streambind.configuration.flat import Flat, Value, too_long
from streambind.configuration.names import (
    Name,
    dotted,
    environment_variables,
    have_different_roots,
    identity,
    parse_name,
    unbracketed,
    uniform,
)
from streambind.configuration.shape import Group, Leaf, Listing, Shape, Table
from streambind.configuration.unknown_keys import MOST, same_key

ROOTS = ("SPRING_CLOUD_STREAM_", "STREAMBIND_")
_NOT_CONFIGURATION = ("STREAMBIND_FAILPOINTS", "STREAMBIND_TEST_")
_UNREAD = (
    "SPRING_APPLICATION_JSON",
    "SPRING_CONFIG_LOCATION",
    "SPRING_CONFIG_ADDITIONAL_LOCATION",
    "SPRING_CONFIG_IMPORT",
)


@dataclass(frozen=True, slots=True)
class Declared:
    """What other sources declare: the keys of tables of groups by kind, and the names below a path."""

    keys: Mapping[str, Iterable[str]]
    below: Callable[[Name], Iterable[Name]]


def read_environment(
    environ: Mapping[str, str], root: Group, declared: Declared, *, inactive: Declared
) -> tuple[Flat, list[Finding]]:
    """The variables that name something in the schema, and findings for those below our roots that do not.

    `inactive`: what inactive documents declare; a variable for it is no mistake.
    """
    flat, findings = Flat(), list[Finding]()
    unmatched: list[str] = []
    for variable, text in sorted(environ.items(), key=_rank):
        names = _meant(variable, root, declared)
        origin = Origin(f"environment variable {variable}")
        if len(names) > 1:
            ways = " or ".join(f"'{dotted(name)}'" for name in names)
            findings.append(Finding(Severity.ERROR, f"ambiguous: it can mean {ways}", origin))
        elif names and (problem := too_long(names[0], origin)) is not None:
            findings.append(problem)
        elif names:
            _keep(flat, findings, Value(names[0], text, origin, origin))
        elif _is_ours(variable) and not _meant(variable, root, inactive):
            unmatched.append(variable)
    for variable in filter(environ.get, _UNREAD):
        text = "is not read; write the properties to the file, or as variables or arguments of their own"
        findings.append(Finding(Severity.WARNING, text, Origin(f"environment variable {variable}")))
    known = _variables(root, declared) if unmatched else []
    for variable in unmatched[:MOST]:
        text = f"names no property; {_hint(variable, known)}"
        findings.append(Finding(Severity.WARNING, text, Origin(f"environment variable {variable}")))
    return flat, findings


def _keep(flat: Flat, findings: list[Finding], value: Value) -> None:
    other = flat.add(value)
    if other is not None and have_different_roots(value.name, other.name):
        findings.append(same_key(value, other))


def _rank(item: tuple[str, str]) -> tuple[bool, str]:
    """Of two variables for one name, Spring asks for `INX_GROUP` before `IN_X_GROUP`, and for `inx_group` last."""
    return item[0].islower(), item[0].upper()


def _is_ours(variable: str) -> bool:
    return variable.upper().startswith(ROOTS) and not variable.startswith(_NOT_CONFIGURATION)


def _meant(variable: str, root: Group, declared: Declared) -> list[Name]:
    tokens = variable.split("_")
    if tokens[0].lower() not in root.members:
        return []
    names = {identity(name): name for name in _Matcher(declared).match(tokens, root, ())}
    return list(names.values())


@dataclass(frozen=True, slots=True)
class _Matcher:
    declared: Declared

    def match(self, tokens: list[str], shape: Shape, path: Name) -> Iterator[Name]:
        """The names that the tokens can mean."""
        if isinstance(shape, Group):
            for size in range(1, len(tokens) + 1):
                member = shape.members.get("".join(tokens[:size]).lower())
                if member is not None:
                    yield from self.match(tokens[size:], member.shape, (*path, member.name))
        elif isinstance(shape, Table) and isinstance(shape.value, Group | Table):
            for key in self.declared.keys.get(shape.kind, ()):
                for size in range(1, len(tokens) + 1):
                    if "".join(tokens[:size]).lower() == uniform(unbracketed(key).replace(".", "")):
                        segment = parse_name(f"[{key}]")
                        yield from self.match(tokens[size:], shape.value, (*path, *segment))
        elif isinstance(shape, Table) or (isinstance(shape, Leaf) and shape.takes_any and tokens):
            if tokens:
                yield (*path, *self._entry(tokens, path))
        elif isinstance(shape, Listing) and tokens[:1] and tokens[0].isdecimal() and tokens[1:] in ([], [""]):
            yield (*path, f"[{int(tokens[0])}]")
        elif not tokens:
            yield path

    def _entry(self, tokens: list[str], path: Name) -> Name:
        """The key of a map of values: as it is declared, or else with dots."""
        wanted = "".join(tokens).lower()
        for name in self.declared.below(path):
            if "".join(uniform(unbracketed(s)) for s in name) == wanted:
                return name
        return tuple(token.lower() for token in tokens)


def _hint(variable: str, known: Iterable[str]) -> str:
    similar = [k for k in known if abs(len(k) - len(variable)) <= 4]
    near = get_close_matches(variable.upper(), similar, n=1, cutoff=0.85)
    return f"did you mean '{near[0]}'?" if near else "a variable can only override a name declared elsewhere"


def _variables(root: Group, declared: Declared) -> list[str]:
    """Every variable that would name something."""
    spellings = (spelling for name in _names(root, (), declared) for spelling in environment_variables(name)[:3])
    return sorted({spelling for spelling in spellings if spelling.startswith(ROOTS)})


def _names(shape: Shape, path: Name, declared: Declared) -> Iterator[Name]:
    """Every name that the schema and the declared keys make."""
    if isinstance(shape, Group):
        for member in shape.members.values():
            if member.name != "environment":
                yield from _names(member.shape, (*path, member.name), declared)
    elif isinstance(shape, Table) and isinstance(shape.value, Group | Table):
        for key in declared.keys.get(shape.kind, ()):
            yield from _names(shape.value, (*path, key), declared)
    else:
        yield path
