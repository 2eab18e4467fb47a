"""From flat values to placed ones: each in its slot of the schema, without placeholders, in a shape that a
property model understands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import SecretStr, TypeAdapter, ValidationError

from streambind.configuration.finding import Finding, Origin, Severity
from streambind.configuration.flat import Flat, Value
from streambind.configuration.masking import is_secret, should_not_be_literal
from streambind.configuration.names import Name, dotted, identity, is_index, uniform
from streambind.configuration.placeholders import Lookup, UnresolvedPlaceholder, resolve
from streambind.configuration.placement import Slot, find_slot
from streambind.configuration.shape import Group, Leaf, Listing, Member, Table


@dataclass(frozen=True, slots=True)
class Placed:
    """A value in its slot: text, a list of texts, an object from code, or None for a group or map that is
    declared without content (`in-categoryChanged:`).

    `name` is the user's spelling; `path` is the slot's. A `secret` is never shown.
    """

    path: Name
    name: Name
    slot: Slot
    value: object
    origin: Origin
    value_origin: Origin
    secret: bool


def place(flat: Flat, root: Group, lookup: Lookup) -> tuple[list[Placed], list[Finding]]:
    """Every value that has a slot; names without one have been reported before. Findings: placeholders that
    cannot be resolved, values for what has no effect, secrets written into files."""
    placing = _Placing(flat, lookup)
    slots = ((value, find_slot(value.name, root)) for value in flat.values.values())
    for value, slot in slots:
        if isinstance(slot, Slot):
            placing.place(value, slot)
    return placing.collapsed(), placing.findings


class _Placing:
    def __init__(self, flat: Flat, lookup: Lookup) -> None:
        self.flat, self.lookup = flat, lookup
        self.placed: dict[Name, Placed] = {}
        self.findings: list[Finding] = []
        self.idle: set[Name] = set()

    def place(self, value: Value, slot: Slot) -> None:
        secret = is_secret(dotted(slot.words)) or (isinstance(slot.shape, Leaf) and slot.shape.secret)
        resolved = value.value
        if isinstance(resolved, bool):
            resolved = str(resolved).lower()
        elif isinstance(resolved, int | float):
            resolved = str(resolved)
        if isinstance(resolved, str):
            try:
                result = resolve(resolved, self.lookup)
            except UnresolvedPlaceholder as error:
                self._report(Severity.ERROR, str(error), value.value_origin)
                return
            if value.origin.line is not None and not result.names:
                self._literal(value, slot, result.text)
            resolved, secret = result.text, secret or result.secret
        if not self._without_effect(value, slot, resolved) and not self._wrong_kind(value, slot, resolved):
            resolved = _shaped(resolved, slot)
            self.placed[slot.path] = Placed(
                slot.path, value.name, slot, resolved, value.origin, value.value_origin,
                secret or isinstance(resolved, SecretStr),
            )  # fmt: skip

    def collapsed(self) -> list[Placed]:
        """The placed values, the items of a list put together."""
        result: dict[Name, Placed] = {}
        lists: dict[Name, dict[int, Placed]] = {}
        for path, placed in self.placed.items():
            if is_index(path[-1]) and is_index(placed.name[-1]):
                lists.setdefault(path[:-1], {})[int(path[-1][1:-1])] = placed
                result.setdefault(path[:-1], placed)
            else:
                result[path] = placed
        for path, items in lists.items():
            first = items[min(items)]
            values = [items[i].value for i in sorted(items)]
            secret = any(item.secret for item in items.values())
            if sorted(items) != list(range(len(items))):
                text = f"the list '{dotted(path)}' has gaps; its items are numbered from 0"
                self._report(Severity.ERROR, text, first.origin)
            result[path] = Placed(
                path, first.name[:-1], first.slot, values, first.origin, first.value_origin, secret
            )
        return list(result.values())

    def _literal(self, value: Value, slot: Slot, text: str) -> None:
        if should_not_be_literal(dotted(slot.words), text):
            words = (
                f"'{dotted(value.name)}' holds a secret in plain text; write ${{VARIABLE}} and set the variable"
            )
            self._report(Severity.WARNING, words, value.origin)

    def _without_effect(self, value: Value, slot: Slot, resolved: object) -> bool:
        for i, member in enumerate(slot.members):
            no_effect = member.no_effect
            if no_effect is None:
                continue
            last = i == len(slot.members) - 1
            key = (*(m.name for m in slot.members[: i + 1]), *(key for _, key in slot.keys))
            if key not in self.idle and not (last and _is_default(member, resolved)):
                self.idle.add(key)
                text = f"'{member.name}' has no effect here: {no_effect.reason}"
                self._report(Severity.WARNING, text, self._place_of(member, value))
            return True
        return False

    def _place_of(self, member: Member, value: Value) -> Origin:
        """Where the member's own name stands, which may be above the value's."""
        size = next((i for i, s in enumerate(value.name, 1) if uniform(s) == uniform(member.name)), 0)
        place = self.flat.places.get(identity(value.name[:size]))
        return place.origin if place and size < len(value.name) else value.origin

    def _wrong_kind(self, value: Value, slot: Slot, resolved: object) -> bool:
        if isinstance(slot.shape, Group | Table) and resolved != "":
            text = f"'{dotted(value.name)}' takes a mapping of names to values, not a single value"
            self._report(Severity.ERROR, text, value.value_origin)
            return True
        return False

    def _report(self, severity: Severity, text: str, origin: Origin) -> None:
        self.findings.append(Finding(severity, text, origin))


def _shaped(value: object, slot: Slot) -> object:
    """What the model takes: the option in its own spelling, a list for a text with commas."""
    if isinstance(slot.shape, Group | Table):
        return None
    if not isinstance(value, str):
        return value
    if isinstance(slot.shape, Listing):
        return [_option(part.strip(), slot.shape.item) for part in value.split(",") if part.strip()]
    return _option(value, slot.shape)


def _option(text: str, leaf: Leaf) -> str:
    return next((option for option in leaf.options if uniform(option) == uniform(text)), text)


def _is_default(member: Member, value: object) -> bool:
    """Whether a value is the one that holds anyway, which nobody needs to be told."""
    if member.field is None or member.field.annotation is None or value == "":
        return True
    try:
        return bool(TypeAdapter(member.field.annotation).validate_python(value) == member.field.get_default())
    except ValidationError:
        return False


def names_of_keys(slots: Iterable[Slot], kind: str) -> list[str]:
    """The keys of tables of one kind, each once in its first spelling."""
    found: dict[str, str] = {}
    for slot in slots:
        for of, key in slot.keys:
            if of == kind:
                found.setdefault(uniform(key), key)
    return list(found.values())
