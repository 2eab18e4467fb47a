"""Many keys, some at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

Key = TypeVar("Key", bytes, int)

KEYS_PER_STATEMENT = 5_000


def key_chunks(keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    """The keys, as many at a time as one statement is given."""
    for start in range(0, len(keys), KEYS_PER_STATEMENT):
        yield keys[start : start + KEYS_PER_STATEMENT]
