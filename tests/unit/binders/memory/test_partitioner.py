"""Keys lie where a Java producer puts them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streambind.binders.memory.partitioner import murmur2, partition_of

VECTORS = json.loads(
    (Path(__file__).parents[3] / "data" / "spring" / "key-partitions-of-4.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("key", VECTORS)
def test_a_key_has_the_partition_that_spring_picked(key: str) -> None:
    seen = set(VECTORS[key].values())
    assert {partition_of(key.encode(), 4)} == seen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_that_of_kafkas_own_unit_test(text: bytes, expected: int) -> None:
    assert murmur2(text) == expected & 0xFFFFFFFF


def test_every_length_of_the_tail_has_a_partition() -> None:
    assert all(0 <= partition_of(bytes(length), 7) < 7 for length in range(16))
