"""A group whose position was moved back passes over what it has applied: what is made of its topic up to there is
no replica of its."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import update

from streambind.errors import LifecycleError
from tests.integration.inbound.replicas import Item, changed, items, tombstone
from tests.integration.inbound.service import DESTINATION, Service, drain
from tests.integration.inbound.topic import Topic, drop_left
from tests.unit.inbound.batches import ListBatch


@pytest.fixture
def service(any_service: Service) -> Iterator[Service]:
    yield any_service
    drop_left(any_service)


@pytest.fixture
def topic(service: Service) -> Topic:
    topic = Topic(service, service.plan(Item))
    topic.deliver(
        changed("INSERT", 1, "a", seq=1), changed("UPDATE", 1, "b", seq=2), changed("INSERT", 2, "c", seq=1)
    )
    tell_of_compaction(service, False)
    return topic


def tell_of_compaction(service: Service, is_compacted: bool | None) -> None:
    position = service.database.tables.position
    service.database.run(lambda c: c.execute(update(position).values(is_compacted=is_compacted)))


def come_again(topic: Topic, start: int) -> None:
    """The group goes on to where it was."""
    drain(topic.plan, ListBatch(topic.partitions[0][start:], start, DESTINATION))


@pytest.mark.parametrize("at", [0, 1, 2])
def test_the_table_is_kept_until_the_group_is_where_it_was(topic: Topic, at: int) -> None:
    topic.service.move_position(at)
    with pytest.raises(LifecycleError, match="group readers was further before"):
        topic.rebuild(force=True)
    with pytest.raises(LifecycleError, match="group readers was further before"):
        topic.difference()
    assert items(topic.service) == {1: "b", 2: "c"}

    come_again(topic, at)
    assert topic.difference().is_none
    assert topic.rebuild().swapped
    assert items(topic.service) == {1: "b", 2: "c"}


def test_a_rebuild_that_was_further_than_the_group_is_now_does_not_swap(topic: Topic) -> None:
    topic.rebuild(dry_run=True)
    topic.deliver(changed("UPDATE", 1, "d", seq=3))
    topic.service.move_position(0)
    with pytest.raises(LifecycleError, match="was further before"):
        topic.rebuild(force=True)
    come_again(topic, 0)
    assert topic.rebuild().swapped
    assert items(topic.service) == {1: "d", 2: "c"}


def test_what_the_log_has_lost_is_not_waited_for(topic: Topic) -> None:
    """The key of a row is known to the group alone."""
    topic.deliver(changed("UPDATE", 1, "d", seq=3))
    topic.starts[0] = 3
    assert topic.rebuild(force=True, skip_unreadable=True).difference.examples == {"extra": [(2,)]}


def test_of_a_key_that_was_in_another_partition_the_source_is_to_be_asked(topic: Topic) -> None:
    """Where partitions were added, retention may leave of a key what is older than what it takes."""
    topic.deliver(changed("UPDATE", 1, "d", seq=3), partition=1)
    topic.starts[1] = 1
    with pytest.raises(LifecycleError, match=r"the log has lost .* \(streambind replica diff --source\)"):
        topic.difference()


@pytest.mark.parametrize("is_compacted", [True, None])
def test_nor_is_what_a_compacted_log_may_have_left_out(topic: Topic, is_compacted: bool | None) -> None:
    tell_of_compaction(topic.service, is_compacted)
    topic.deliver(tombstone("2", seq=2))
    leave_out = [record for record in topic.partitions[0] if record.key != b"2"]
    topic.partitions[0][:] = leave_out
    topic.service.move_position(len(leave_out))
    assert topic.difference().is_none


def test_without_numbers_what_comes_again_is_applied_again(service: Service) -> None:
    topic = Topic(service, service.plan(Item, sequence="ignore"), trusts=False)
    topic.deliver(changed("INSERT", 1, "a", seq=1), changed("UPDATE", 1, "b", seq=2))
    service.move_position(1)
    assert topic.rebuild().swapped
    come_again(topic, 1)
    assert items(service) == {1: "b"}
