"""The destinations of an input binding, and those through which its dead letters come back."""

from __future__ import annotations

from streambind.configuration.properties import BindingProperties


def destinations_of(name: str, properties: BindingProperties) -> tuple[str, ...]:
    """A list by commas, else the binding's name."""
    listed = [part.strip() for part in (properties.destination or name).split(",")]
    return tuple(part for part in listed if part) or (name,)


def replay_destinations_of(name: str, properties: BindingProperties) -> dict[str, str]:
    """By destination that of its replays, of this group alone; none without a group, or where it is not asked for.
    They are listened to where the group's positions are the broker's."""
    if not properties.consumer.replay or properties.group is None:
        return {}
    return {source: f"retry.{source}.{properties.group}" for source in destinations_of(name, properties)}
