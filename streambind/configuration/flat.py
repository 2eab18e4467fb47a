"""Flat configuration: one value per name, each with the place it comes from; and merging of such sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from streambind.configuration.finding import Finding, Origin, Severity
from streambind.configuration.names import MAX_SEGMENTS, Name, dotted, identity, is_index, parse_name


@dataclass(frozen=True, slots=True)
class Value:
    """A value under its name as written. Text, except that code may pass other objects.

    `origin` is the place of the name, `value_origin` that of the value.
    """

    name: Name
    value: object
    origin: Origin
    value_origin: Origin


@dataclass(frozen=True, slots=True)
class Place:
    """Where a name, or the beginning of one, was written first."""

    name: Name
    origin: Origin


@dataclass(slots=True)
class Flat:
    """A source of values. Keys of both mappings are identities of names."""

    values: dict[Name, Value] = field(default_factory=dict)
    places: dict[Name, Place] = field(default_factory=dict)

    def add(self, value: Value) -> Value | None:
        """Keep the value unless its name has one already, which is returned then."""
        key = identity(value.name)
        if key in self.values:
            return self.values[key]
        self.values[key] = value
        return None

    def mark(self, name: Name, origin: Origin) -> None:
        """Remember where a name, or the beginning of one, stands; the first place counts."""
        self.places.setdefault(identity(name), Place(name, origin))

    def mark_all(self, name: Name, origin: Origin) -> None:
        """`mark` the name and all its beginnings."""
        for size in range(1, len(name) + 1):
            self.mark(name[:size], origin)

    def text(self, name: str) -> Value | None:
        return self.values.get(identity(parse_name(name)))

    def items(self, name: str) -> list[Value]:
        """The values of a list, in order, or the one value of a scalar."""
        key = identity(parse_name(name))
        if key in self.values:
            return [self.values[key]]
        below = [k for k in self.values if k[:-1] == key and is_index(k[-1])]
        return [self.values[k] for k in sorted(below, key=lambda k: int(k[-1][1:-1]))]

    def children(self, name: str) -> dict[str, str]:
        """The next segments below a name: identity to spelling."""
        key = identity(parse_name(name))
        size = len(key)
        return {
            k[size]: place.name[-1] for k, place in self.places.items() if len(k) == size + 1 and k[:size] == key
        }


def merge(sources: Iterable[Flat]) -> Flat:
    """Lay sources over one another, the lowest first: maps are merged per key, lists replaced as a whole."""
    merged = Flat()
    for source in sources:
        written = {_list_of(key) for key in source.values}
        kept = {k: v for k, v in merged.values.items() if _list_of(k) not in written or k in source.values}
        merged.values = kept | source.values
        for key, place in source.places.items():
            merged.places.setdefault(key, place)
    return merged


def _list_of(key: Name) -> Name:
    """The list that a key writes to: the part before its first index; the whole key if it has none."""
    for i, segment in enumerate(key):
        if is_index(segment):
            return key[:i]
    return key


def too_long(name: Name, origin: Origin) -> Finding | None:
    """The finding for a name of more segments than `MAX_SEGMENTS`; such a name must not be marked."""
    if len(name) <= MAX_SEGMENTS:
        return None
    text = f"'{dotted(name[:4])}...' has {len(name)} segments; more than {MAX_SEGMENTS} are no configuration"
    return Finding(Severity.ERROR, text, origin)


def flatten(tree: Mapping[str, object], origin: Origin) -> tuple[Flat, list[Finding]]:
    """Values from code: dotted names, nested mappings and lists, in any mixture."""
    flat, findings = Flat(), list[Finding]()
    for key, value in tree.items():
        _flatten(flat, findings, parse_name(str(key)), value, origin)
    return flat, findings


def _flatten(flat: Flat, findings: list[Finding], name: Name, value: object, origin: Origin) -> None:
    problem = too_long(name, origin)
    if problem is not None:
        findings.append(problem)
        return
    flat.mark_all(name, origin)
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            _flatten(flat, findings, (*name, *parse_name(str(key))), inner, origin)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes) and value:
        for i, inner in enumerate(value):
            _flatten(flat, findings, (*name, f"[{i}]"), inner, origin)
    else:
        empty = value is None or (isinstance(value, Mapping | Sequence) and not value)
        flat.values[identity(name)] = Value(name, "" if empty else value, origin, origin)
