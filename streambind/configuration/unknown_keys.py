"""Names that have no place in the schema, source by source, so that an overridden mistake is found too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streambind.configuration.finding import Finding, Severity
from streambind.configuration.flat import Flat, Value
from streambind.configuration.names import OWN_ROOT, Name, dotted, have_different_roots, identity, uniform
from streambind.configuration.placement import Misfit, find_slot, near_root
from streambind.configuration.shape import Group

MOST = 100


def unknown_keys(source: Flat, root: Group, *, prefer: str, active: bool = True) -> list[Finding]:
    """One finding per wrong name; a wrong beginning counts once for all that stands below it.

    In a document that is not active (`active` false) they are warnings: nothing depends on it now.
    """
    severity = Severity.ERROR if active else Severity.WARNING
    reported: dict[Name, Finding] = {}
    for value in source.values.values():
        if len(reported) >= MOST:
            text = f"more than {MOST} unknown keys; the rest is not listed"
            return [*reported.values(), Finding(severity, text, value.origin)]
        misfit = find_slot(value.name, root, prefer=prefer)
        if misfit is None:
            misfit = near_root(value.name)
        if isinstance(misfit, Misfit):
            wrong = value.name[: misfit.size]
            place = source.places.get(identity(wrong))
            origin = place.origin if place else value.origin
            if identity(wrong) not in reported:
                reported[identity(wrong)] = Finding(severity, misfit.explain(), origin)
    return list(reported.values())


def keys_under_both_roots(sources: Sequence[Flat]) -> list[Finding]:
    """`streambind.x` here and `spring.cloud.stream.x` there, in sources of the same rank: which one holds?"""
    first: dict[Name, Value] = {}
    findings: list[Finding] = []
    for source in sources:
        for key, value in source.values.items():
            other = first.setdefault(key, value)
            if have_different_roots(value.name, other.name):
                findings.append(same_key(value, other))
    return findings


def same_key(value: Value, other: Value) -> Finding:
    """The finding for a key that the same rank of sources sets under the other root too."""
    text = f"'{dotted(value.name)}' is set as '{dotted(other.name)}' too, at {other.origin}; keep one of the two"
    return Finding(Severity.ERROR, text, value.origin)


def binders_in(sources: Iterable[Flat], binders: Iterable[str]) -> list[str]:
    """The binders that sources configure, in the order of `binders`."""
    beginnings = {key[:2] for source in sources for key in source.places}
    return [name for name in binders if (*OWN_ROOT, uniform(name)) in beginnings]
