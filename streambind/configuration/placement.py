"""Where a name belongs in the schema, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from streambind.configuration.names import (
    OWN_ROOT,
    SPRING_ROOT,
    Name,
    did_you_mean,
    dotted,
    is_index,
    is_rooted,
    unbracketed,
    uniform,
)
from streambind.configuration.shape import Group, Leaf, Listing, Member, Shape, Table


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in the schema.

    `path`: the name in the schema's spelling, with `streambind` for either root; keys of tables as the user
    wrote them, without brackets. `words`: the same without those keys of tables that only name things: what
    tells whether the value is a secret. `keys`: kind and key of each table of groups on the way. `members`:
    the members on the way.
    """

    path: Name
    words: Name
    shape: Shape
    keys: tuple[tuple[str, str], ...]
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Misfit:
    """A name without a place: its first `size` segments are the wrong ones. `explain` says why; it searches the
    schema for what was meant, so it is called for what is reported only."""

    size: int
    explain: Callable[[], str]


def find_slot(name: Name, root: Group, *, prefer: str = "") -> Slot | Misfit | None:
    """The slot of a name; None if it is no business of the schema. `prefer`: the binder to name first when
    several have a property that was looked for in the wrong place."""
    return _Walk(name, root, prefer).run()


def near_root(name: Name) -> Misfit | None:
    """Whether a name outside of both roots was probably meant to be inside of one."""
    if is_rooted(name):
        return None
    segments = tuple(uniform(s) for s in name[:3])
    for size, root in ((3, SPRING_ROOT), (1, OWN_ROOT)):
        same = [_ratio(a, b) for a, b in zip(segments, root, strict=False)]
        if len(segments) >= size and sorted(same)[1:] == [1.0] * (size - 1) and min(same) >= 0.8:
            return _outside(name[:size], root)
    for beginning in (SPRING_ROOT[1:], SPRING_ROOT[::2]):
        if segments[:2] == beginning:
            return _outside(name[:2], SPRING_ROOT)
    return None


def _outside(wrong: Name, root: Name) -> Misfit:
    return Misfit(len(wrong), lambda: f"'{dotted(wrong)}' is not read; did you mean '{dotted(root)}'?")


def _ratio(a: str, b: str) -> float:
    return SequenceMatcher(None, a, b).ratio()


class _Walk:
    def __init__(self, name: Name, root: Group, prefer: str) -> None:
        self.name, self.root, self.prefer = name, root, prefer
        self.path: list[str] = []
        self.words: list[str] = []
        self.keys: list[tuple[str, str]] = []
        self.members: list[Member] = []
        self.at = 0

    def run(self) -> Slot | Misfit | None:
        shape: Shape = self.root
        while True:
            rest = self.name[self.at :]
            if not rest or (isinstance(shape, Leaf) and shape.takes_any):
                self._append(*rest)
                return self._slot(shape)
            if isinstance(shape, Group):
                member = shape.members.get(uniform(rest[0]))
                if member is None:
                    return None if shape.open else self._unknown(shape)
                self._append(member.name)
                self.members.append(member)
                shape = member.shape
                self.at += 1
            elif isinstance(shape, Table):
                if isinstance(shape.value, Group | Table):
                    problem = self._key(shape)
                    if problem:
                        return problem
                    shape = shape.value
                else:
                    return self._entry(shape.value)
            elif isinstance(shape, Listing) and len(rest) == 1 and is_index(rest[0]):
                self._append(rest[0])
                return self._slot(shape.item)
            else:
                return self._too_long(shape)

    def _slot(self, shape: Shape) -> Slot:
        return Slot(tuple(self.path), tuple(self.words), shape, tuple(self.keys), tuple(self.members))

    def _append(self, *segments: str) -> None:
        self.path += segments
        self.words += segments
        if tuple(self.path[-3:]) == SPRING_ROOT:
            self.path[-3:] = OWN_ROOT
            self.words[-3:] = OWN_ROOT

    def _key(self, table: Table) -> Misfit | None:
        segment = self.name[self.at]
        if is_index(segment):
            return self._no_list()
        key = unbracketed(segment)
        dropped = sorted({c for c in segment if not (c.isascii() and (c.isalnum() or c in "-_"))})
        if segment == key and dropped:
            text = f"'{key}' as a name: Spring drops '{''.join(dropped)}' from it; write \"[{key}]\""
            return Misfit(self.at + 1, lambda: text)
        self.path.append(key)
        self.keys.append((table.kind, key))
        self.at += 1
        return None

    def _entry(self, value: Leaf | Listing) -> Slot | Misfit:
        """An entry of a table of values: all the rest of the name is its key."""
        rest = self.name[self.at :]
        if is_index(rest[0]) and isinstance(value, Leaf):
            return self._no_list()
        indexed = is_index(rest[-1]) and len(rest) > 1
        if indexed and isinstance(value, Leaf):
            return self._too_long(value)
        key = dotted(map(unbracketed, rest[:-1] if indexed else rest))
        self._append(key, *(rest[-1:] if indexed else ()))
        return self._slot(value if not indexed or isinstance(value, Leaf) else value.item)

    def _too_long(self, shape: Shape) -> Misfit:
        name = dotted(self.name[: self.at]) if not self.members else self.members[-1].name
        if is_index(self.name[-1]):
            text = f"'{name}' takes a single value, not a list; write several with commas"
        else:
            kind = "a list" if isinstance(shape, Listing) else "a single value"
            text = f"'{name}' takes {kind}, not a mapping"
        return Misfit(self.at, lambda: text)

    def _no_list(self) -> Misfit:
        return Misfit(self.at, lambda: f"{self._where()} takes a mapping of names to values, not a list")

    def _unknown(self, group: Group) -> Misfit:
        if is_index(self.name[self.at]):
            return self._no_list()
        return Misfit(self.at + 1, lambda: self._explain_unknown(group))

    def _explain_unknown(self, group: Group) -> str:
        segment = self.name[self.at]
        known = [m.name for m in group.members.values()]
        hint = self._elsewhere(segment) or did_you_mean(segment, known) or self._no_binder(group)
        return f"unknown key '{segment}' in {self._where()}{hint}"

    def _where(self) -> str:
        bindings = [key for kind, key in self.keys if kind == "bindings"]
        side = self.path[-1] if self.path[-1] in ("consumer", "producer") else ""
        if not bindings or self.path[-1] not in ("consumer", "producer", bindings[-1]):
            return f"'{dotted(self.name[: self.at])}'"
        owner = self.path[self.path.index("bindings") - 1]
        kind = f"{owner} {side}" if owner != OWN_ROOT[0] else side
        return f"{kind.strip()} of binding {bindings[-1]}" if kind.strip() else f"binding {bindings[-1]}"

    def _no_binder(self, group: Group) -> str:
        """The name may be that of a binder which is not there."""
        binders = [
            m.name for m in group.members.values() if isinstance(m.shape, Group) and "bindings" in m.shape.members
        ]
        following = [uniform(s) for s in self.name[self.at + 1 : self.at + 2]]
        if binders and following and following[0] in ("binder", "bindings", "default"):
            return f"; no such binder is installed, only {', '.join(sorted(binders))}"
        return ""

    def _elsewhere(self, segment: str) -> str:
        """Where the name would be right: common properties and those of binders are easily mixed up."""
        stream = self.root.members["streambind"].shape
        assert isinstance(stream, Group)
        places = [p for p in _places(uniform(segment), stream, ()) if "environment" not in p]
        if not places or self.path[:1] != list(OWN_ROOT):
            return ""
        binding = next((key for kind, key in reversed(self.keys) if kind == "bindings"), "<name>")

        def distance(place: Name) -> tuple[bool, bool, bool, int]:
            foreign = stream.members[uniform(place[0])].field is None and place[0] != self.prefer
            other_side = self.path[-1] in ("consumer", "producer") and self.path[-1] not in place
            return foreign, other_side, "default" in place, len(place)

        best = min(places, key=distance)
        root = self.name[: 1 if uniform(self.name[0]) == OWN_ROOT[0] else 3]
        right = [binding if segment == "*" else segment for segment in best]
        return f"; it belongs under '{dotted((*root, *right))}'"


def _places(name: str, shape: Shape, prefix: Name) -> Iterator[Name]:
    """The groups that have a member of this name; keys of tables are `*`."""
    if isinstance(shape, Group):
        if name in shape.members and prefix:
            yield prefix
        for member in shape.members.values():
            yield from _places(name, member.shape, (*prefix, member.name))
    elif isinstance(shape, Table):
        yield from _places(name, shape.value, (*prefix, "*"))
