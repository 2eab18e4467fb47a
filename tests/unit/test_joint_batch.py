"""Batches of several partitions, seen as one."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from streambind.joint_batch import JointBatch, parts_of, place_of
from tests.unit.inbound.batches import ListBatch, record

PARTS = st.lists(st.integers(1, 4), min_size=1, max_size=5)


def parts(sizes: list[int]) -> list[ListBatch]:
    """Of each partition so many messages, each of which is different from all others in everything."""
    return [
        ListBatch(
            [record({"at": [partition, i]}, f"{partition}/{i}", place=f"{partition}.{i}") for i in range(size)],
            100 * partition,
            partition=partition,
        )
        for partition, size in enumerate(sizes)
    ]


@given(PARTS)
def test_its_messages_are_those_of_its_parts_one_after_the_other(sizes: list[int]) -> None:
    batches = parts(sizes)
    joint = JointBatch(batches)
    places: list[tuple[ListBatch, int]] = [(part, i) for part in batches for i in range(len(part))]

    assert len(joint) == len(places)
    assert joint.payloads() == [part.payload(i) for part, i in places]
    for at, (part, i) in enumerate(places):
        assert joint.payload(at) == part.payload(i)
        assert joint.key(at) == part.key(i)
        assert joint.offset(at) == part.offset(i)
        assert joint.timestamp_ms(at) == part.timestamp_ms(i)
        assert joint.raw_headers(at) == part.raw_headers(i)
        assert joint.message(at).partition == part.partition
        assert place_of(joint, at) == f"things[{part.partition}]@{part.offset(i)}"


def test_a_place_is_told_of_messages_that_cannot_be_read() -> None:
    unreadable = replace(parts([1])[0].records[0], unreadable=True)
    joint = JointBatch([ListBatch([unreadable], 7, partition=partition) for partition in (3, 4)])

    assert place_of(joint, 1) == "things[4]@7"
    assert place_of(joint.parts[0], 0) == "things[3]@7"


def test_its_parts_are_the_batches_in_their_order() -> None:
    batches = parts([1, 2, 1])

    assert [*parts_of(JointBatch(batches))] == batches


def test_the_only_part_of_another_batch_is_itself() -> None:
    batch = parts([2])[0]

    assert [*parts_of(batch)] == [batch]
