"""Every record comes one to three times, and then all of them once more from the beginning: one effect each."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import create_engine, update

from streambind.persistence.tables import Tables
from streambind.testing.chaos import Kind, kinds
from tests.faults.rewritten import Rewritten
from tests.faults.world import BOTH, World

CHANGES = 60
NO_GUARD = {"SPRING_CLOUD_STREAM_BINDINGS_INITEMS_CONSUMER_SEQUENCE": "ignore"}
ON_REAL_SERVERS = pytest.mark.parametrize("stage", ["kafka_and_postgres"], indirect=True, scope="module")


@BOTH
@ON_REAL_SERVERS
def test_records_that_come_again_and_again_have_one_effect(fresh: World, listener: dict[str, str]) -> None:
    _repeat_everything(fresh)
    effects = fresh.effects(**listener)
    fresh.wait_until_drained(effects)
    effects.stop()
    assert fresh.broken_promises() == []

    _begin_anew(fresh)
    again = fresh.effects(**listener)
    fresh.wait_until_drained(again)
    again.stop()
    assert fresh.broken_promises() == []


@ON_REAL_SERVERS
def test_the_checker_rejects_a_listener_that_does_not_look_at_numbers(fresh: World) -> None:
    _repeat_everything(fresh)
    effects = fresh.effects(**NO_GUARD)
    fresh.wait_until_drained(effects)
    effects.stop()
    assert Kind.TWICE in kinds(fresh.broken_promises())


def _repeat_everything(fresh: World) -> None:
    """From now on the world reads a topic that holds each record of its own one to three times."""
    log, chance = Rewritten(fresh, CHANGES), random.Random(20)
    copies = [record for record in log.records for _ in range(chance.randint(1, 3))]
    assert len(copies) > CHANGES
    log.append(copies)


def _begin_anew(fresh: World) -> None:
    """Set the group back to the beginning of the log, as an operator might."""
    position = Tables().position
    engine = create_engine(fresh.effects_url)
    with engine.begin() as connection:
        connection.execute(update(position).where(position.c.group_name == fresh.group).values(next_offset=0))
    engine.dispose()
