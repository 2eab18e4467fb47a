"""Names of properties: how they are written, when two of them are the same, which one was probably meant.

A name is a tuple of segments. `a.b[0].c` and `a.b.[x.y]` have an index or a quoted map key in brackets, which
is a segment of its own with its brackets. Two names are the same if their `identity` is equal: Spring's relaxed
comparison (`enableDlq` = `enable-dlq` = `ENABLE_DLQ`), and the two roots are one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

Name = tuple[str, ...]

SPRING_ROOT: Name = ("spring", "cloud", "stream")
OWN_ROOT: Name = ("streambind",)

FALLBACK_BINDER = "kafka"

MAX_SEGMENTS = 64
"""Longer names are no configuration: every beginning of a name is kept, which grows with the square."""

_PARTS = re.compile(r"\[[^\[\]]*\]|[^.\[\]]+|\.(?=\.|$)|^(?=\.)|[\[\]]")
_PLAIN = re.compile(r"(?=.*[^0-9])[A-Za-z0-9_-]+")
_NOT_ALPHANUMERIC = re.compile(r"[^a-z0-9]")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def parse_name(text: str) -> Name:
    """The segments of a dotted name. Any text has some; an empty segment stays, so that it is found unknown."""
    segments: list[str] = []
    for part in _PARTS.findall(text):
        if part.startswith("[") and part.endswith("]") and len(part) > 1:
            inner = part[1:-1]
            segments.append(inner if _PLAIN.fullmatch(inner) else part)
        else:
            segments.append("" if part == "." else part)
    return tuple(segments) or ("",)


def dotted(name: Iterable[str]) -> str:
    """The name as one writes it: the inverse of `parse_name`."""
    text = ""
    for segment in name:
        text += segment if segment.startswith("[") or not text else f".{segment}"
    return text


def is_index(segment: str) -> bool:
    return segment.startswith("[") and segment[1:-1].isascii() and segment[1:-1].isdigit()


def unbracketed(segment: str) -> str:
    return segment[1:-1] if segment.startswith("[") and segment.endswith("]") else segment


def uniform(segment: str) -> str:
    """What is left of a segment for comparison: lower case, letters and digits only."""
    if segment.startswith("["):
        return segment
    return _NOT_ALPHANUMERIC.sub("", segment.lower()) or segment.lower()


def identity(name: Name) -> Name:
    """Equal for two spellings of one name, under either root."""
    segments: list[str] = []
    for segment in name:
        if segment.startswith("[") and not is_index(segment):
            segments += [uniform(part) for part in unbracketed(segment).split(".")]
        else:
            segments.append(uniform(segment))
    if tuple(segments[:3]) == SPRING_ROOT:
        segments[:3] = OWN_ROOT
    return tuple(segments)


def is_rooted(name: Name) -> bool:
    """Whether the name is below one of the two roots."""
    return identity(name)[:1] == OWN_ROOT


def have_different_roots(one: Name, other: Name) -> bool:
    """Whether of two spellings of a name one is below `spring.cloud.stream` and the other below `streambind`."""
    return is_rooted(one) and uniform(one[0]) != uniform(other[0])


def environment_variables(name: Name) -> tuple[str, ...]:
    """The variables that Spring would look up for a name, in its order: without dashes, with `_` for them.

    Spring knows whether a segment is a property, whose humps count as dashes (`CONTENT_TYPE`), or the key of a
    map, where they do not (`IN_CATEGORYCHANGED`); both are taken here.
    """
    written = "_".join(unbracketed(s).replace(".", "_") for s in name)
    split = _HUMP.sub("-", written).lower()
    forms = (split.replace("-", ""), written.lower().replace("-", "_"), split.replace("-", "_"))
    return tuple(dict.fromkeys([form.upper() for form in forms] + list(forms)))


def nearest(wrong: str, known: Iterable[str]) -> str | None:
    """The known spelling that was probably meant, or None if none is near."""
    spellings = {uniform(k): k for k in known}
    cutoff = 0.65 if len(wrong) <= 3 else 0.72  # one letter of three may be wrong
    near = get_close_matches(uniform(wrong), spellings, n=1, cutoff=cutoff)
    return spellings[near[0]] if near else None


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """`; did you mean 'destination'?`, or nothing."""
    near = nearest(wrong, known)
    return f"; did you mean '{near}'?" if near else ""
