"""Replicas as people are shown them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streambind.inbound.replica_plan import ReplicaPlan


def replica_lines(replicas: Iterable[ReplicaPlan]) -> Iterator[tuple[str, str, str]]:
    """Of each column that is filled its name in the class, from what it is filled, and what a DELETE does."""
    for replica in replicas:
        name = replica.mark.declared_on.__qualname__
        for number, (attribute, source) in enumerate(zip(replica.attributes, replica.sources, strict=True)):
            is_key = number < len(replica.key)
            yield (
                f"{name}.{attribute}",
                _filled(source, is_key=is_key),
                _deleted(replica, attribute, is_key=is_key),
            )


def _filled(source: object, *, is_key: bool) -> str:
    if source is None:
        return "soft delete"
    text = f"field {source}" if isinstance(source, str) else "transform"
    return f"{text} (key)" if is_key else text


def _deleted(replica: ReplicaPlan, attribute: str, *, is_key: bool) -> str:
    if not replica.cleared:
        return "row removed" if is_key else ""
    if attribute not in replica.cleared_attributes:
        return ""
    return "set" if attribute == replica.mark.soft_delete else "put back"
