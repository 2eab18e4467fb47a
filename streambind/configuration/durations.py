"""Durations as Spring writes them: a bare number in the property's unit, `10s`, or ISO-8601 `PT10S`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_UNITS = {"ns": 1e-6, "us": 1e-3, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIMPLE = re.compile(r"^([+-]?\d{1,18})\s*([a-zA-Z]{0,2})$")
_ISO = re.compile(r"^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Duration:
    """Validator of a field that holds a whole number of `unit`s, which is also the unit of a bare number."""

    unit: str

    def __call__(self, value: Any) -> Any:
        return parse_duration(value, self.unit)


def parse_duration(value: Any, unit: str) -> Any:
    """A duration in `unit`, the unit of a bare number; what is not text is left as it is.

    Raises:
        ValueError: a text that is no duration.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if match := _SIMPLE.match(text):
        number, suffix = match.groups()
        factor = _UNITS.get(suffix.lower() or unit)
        if factor is None:
            raise ValueError(f"{value!r} has no known unit; write ns, us, ms, s, m, h or d")
        return round(int(number) * factor / _UNITS[unit])
    if len(text) <= 64 and (match := _ISO.match(text)) and any(match.groups()):
        days, hours, minutes, seconds = (float(g or 0) for g in match.groups())
        return round((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000 / _UNITS[unit])
    raise ValueError("write a duration as 500 or 10s or PT10S")


Milliseconds = Annotated[int, BeforeValidator(Duration("ms")), Field(ge=0)]
Seconds = Annotated[int, BeforeValidator(Duration("s")), Field(ge=0)]
