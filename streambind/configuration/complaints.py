"""What a failed validation says to the user: the key, the value unless it is a secret, what was expected."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from streambind.configuration.finding import Finding, Severity
from streambind.configuration.masking import shown
from streambind.configuration.names import did_you_mean, dotted
from streambind.configuration.resolution import Placed

_EXPECTED = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of usual size",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "a text",
}
_LIMITS = {
    "greater_than_equal": ("ge", "{} or more"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "{} or less"),
    "less_than": ("lt", "less than {}"),
}
_QUOTED = re.compile(r"'([^']*)'")


def complaint(details: Mapping[str, Any], blamed: Sequence[Placed]) -> Finding:
    """The finding for one error of pydantic and the values that caused it."""
    if not blamed:
        where = ".".join(str(part) for part in details["loc"][1:])
        what = "is missing" if details["type"] == "missing" else f"is not valid: {details['msg']}"
        return Finding(Severity.ERROR, f"'{where}' {what}")
    placed = blamed[0]
    name = dotted(placed.name)
    if len(blamed) > 1:
        keys = ", ".join(f"'{dotted(p.name)}'" for p in blamed)
        secret = any(p.secret for p in blamed)
        return Finding(
            Severity.ERROR, f"{keys} do not fit together{_reason(details, secret=secret)}", placed.origin
        )
    if details["loc"][-1] == "[key]":
        return Finding(Severity.ERROR, f"'{name}'{_reason(details, secret=False)}", placed.origin)
    kind = details["type"]
    value = "" if placed.secret else f" '{shown(name, placed.value)}'"
    if kind in _EXPECTED:
        text = f"'{name}' takes {_EXPECTED[kind]}, not{value or ' this value'}"
    elif kind in _LIMITS:
        key, words = _LIMITS[kind]
        text = f"'{name}' takes {words.format(details['ctx'][key])}, not{value or ' this value'}"
    elif kind in ("enum", "literal_error"):
        options = _QUOTED.findall(str(details["ctx"]["expected"]))
        hint = "" if placed.secret else did_you_mean(str(placed.value), options)
        text = f"'{name}' takes one of {', '.join(options)}, not{value or ' this value'}{hint}"
    else:
        text = f"'{name}' cannot be{value or ' this value'}{_reason(details, secret=placed.secret)}"
    return Finding(Severity.ERROR, text, placed.value_origin)


def _reason(details: Mapping[str, Any], *, secret: bool) -> str:
    """The words of a validator. They may quote the value, so they are left out for a secret."""
    if secret:
        return ""
    cause = details.get("ctx", {}).get("error")
    return f": {cause or details['msg']}"
