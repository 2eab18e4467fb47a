"""The destinations of an input binding."""

from __future__ import annotations

from streambind.configuration.properties import BindingProperties


def destinations_of(name: str, properties: BindingProperties) -> tuple[str, ...]:
    """A list by commas, else the binding's name."""
    listed = [part.strip() for part in (properties.destination or name).split(",")]
    return tuple(part for part in listed if part) or (name,)
