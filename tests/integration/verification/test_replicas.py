"""`verify` of a group that keeps a replica: what it has not applied, and what it should not have."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from sqlalchemy import delete, update

from streambind.binding.binder import Lane
from streambind.verification.group import GroupKeys
from streambind.verification.source import SourceKeys
from streambind.verification.verdict import State
from streambind.verification.verify import Log, Report, verify
from tests.integration.test_source_diff import GROUP, TOPIC, World, world

__all__ = ["world"]

KEY = b'["a",1]'


def looked_at(world: World) -> Report:
    """As at a broker that has nothing behind the group's position."""
    log = Log(lambda: {0: world.delivered}, lambda _, __: ())
    source = SourceKeys(world.source.database, TOPIC)
    return verify(source, lambda source_id: GroupKeys(world.reader, GROUP, TOPIC, source_id), log, limit=10)


def fill(world: World) -> None:
    for number in (1, 2, 3):
        world.put("a", number, "g")
    world.remove("a", 3)
    world.deliver()


def test_what_a_replica_has_applied_is_applied(world: World) -> None:
    fill(world)
    assert looked_at(world).counts == {State.APPLIED: 3}
    world.put("a", 1, "later")
    assert looked_at(world).counts == {State.APPLIED: 2, State.IN_OUTBOX: 1}


def test_an_event_that_comes_twice_is_applied_once(world: World) -> None:
    """The relay did not hear that it had sent it."""
    fill(world)
    world.put("a", 1, "later")
    outbox = world.source.database.tables.outbox
    query = outbox.select().where(outbox.c.destination == TOPIC)
    (row,) = world.source.database.run(lambda connection: connection.execute(query).mappings().all())
    world.deliver()
    world.put("a", 1, "last")
    world.deliver()
    world.source.database.run(lambda connection: connection.execute(outbox.insert(), [dict(row)]))
    world.deliver()
    assert world.copies() == {("a", 1): "last", ("a", 2): "g"}
    assert looked_at(world).counts == {State.APPLIED: 3}


def _is_lost(world: World) -> None:
    """An event was sent, and the position moved past it."""
    world.put("a", 1, "lost")
    world.source.database.run(lambda connection: connection.execute(delete(world.source.database.tables.outbox)))
    assert world.plan.positions is not None
    position = world.reader.tables.position
    moved = update(position).where(position.c.group_name == GROUP).values(next_offset=position.c.next_offset + 1)
    world.by_hand(moved)
    world.delivered += 1
    assert world.plan.positions.read([Lane(TOPIC, 0)]) == {Lane(TOPIC, 0): world.delivered}


def _guard(world: World, **values: object) -> None:
    guard = world.reader.tables.guard
    world.by_hand(update(guard).where(guard.c.key == KEY).values(**values))


def _is_of_another_event(world: World) -> None:
    _guard(world, event_id=str(uuid.uuid4()))


def _is_applied_too_often(world: World) -> None:
    """The group counts an event that the source has never given the key: one that came twice under new numbers."""
    _guard(world, seq=2)


@pytest.mark.parametrize(
    ("damage", "state"),
    [
        (_is_lost, State.MISSING),
        (_is_of_another_event, State.FORKED),
        (_is_applied_too_often, State.AHEAD),
    ],
)
def test_what_is_wrong_with_a_key_is_told(world: World, damage: Callable[[World], None], state: State) -> None:
    fill(world)
    damage(world)
    report = looked_at(world)
    assert report.counts == {State.APPLIED: 2, state: 1}
    assert [example.key for example in report.examples[state]] == [KEY]
