"""Connections that break at a COMMIT: it has come about or not, and nobody is told. Writers, relays and listeners
find out by looking, and go on from there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from sqlalchemy import make_url

from streambind.testing.chaos import Kind, kinds
from streambind.testing.chaos.proxy import Proxy
from streambind.testing.eventually import eventually
from tests.faults.world import BOTH, World

BROKEN = 12
A_FEW = 6  # One may be that of a transaction that looks after parked keys.
WITHIN_S = 60.0
NO_GUARD = {"SPRING_CLOUD_STREAM_BINDINGS_INITEMS_CONSUMER_SEQUENCE": "ignore"}
ON_REAL_SERVERS = pytest.mark.parametrize("stage", ["kafka_and_postgres"], indirect=True, scope="module")


class Door:
    """A proxy before one of the databases."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self.proxy = Proxy(parsed.port)
        through = parsed.set(host="127.0.0.1", port=self.proxy.port)
        self.environment = {"DATABASE_URL": through.render_as_string(hide_password=False)}

    def break_commit(self, *, passed_on: bool) -> None:
        """That of the next transaction that goes through."""
        before = self.proxy.commits_broken
        self.proxy.break_at_commit(passed_on=passed_on)
        eventually(lambda: self.proxy.commits_broken > before, WITHIN_S, "no commit came")

    def break_commits(self, count: int, done: Callable[[], int]) -> None:
        """So many, each after something was `done` since the last one: who fails without end, waits ever
        longer."""
        for number in range(count):
            before = done()
            self.break_commit(passed_on=number % 2 == 0)
            eventually(partial(_exceeds, done, before), WITHIN_S, "nothing goes on")


def _exceeds(figure: Callable[[], int], limit: int) -> bool:
    return figure() > limit


@pytest.fixture
def doors(fresh: World) -> Iterator[tuple[Door, Door]]:
    """Before the source's database and the effects'."""
    made = Door(fresh.source_url), Door(fresh.effects_url)
    yield made
    for door in made:
        door.proxy.close()


@BOTH
@ON_REAL_SERVERS
def test_every_change_has_one_effect_though_commits_are_not_confirmed(
    fresh: World, doors: tuple[Door, Door], listener: dict[str, str]
) -> None:
    out, into = doors
    source, effects = fresh.source(0, **out.environment), fresh.effects(**into.environment, **listener)
    eventually(lambda: fresh.handled() > 0, WITHIN_S, effects.tail)
    out.break_commits(BROKEN, fresh.committed)
    into.break_commits(BROKEN, fresh.handled)
    source.stop()
    fresh.wait_until_drained(effects)
    effects.stop()
    assert fresh.broken_promises() == []


@ON_REAL_SERVERS
def test_the_checker_rejects_who_takes_an_unconfirmed_commit_for_granted(
    fresh: World, doors: tuple[Door, Door]
) -> None:
    _, into = doors
    fresh.source(0)
    effects = fresh.effects(LISTENER="commit-taken-for-granted", **NO_GUARD, **into.environment)
    eventually(lambda: fresh.handled() > 0, WITHIN_S, effects.tail)
    into.break_commits(A_FEW, fresh.handled)
    # What was lost, nobody comes back for; what came later has its effects.
    eventually(lambda: Kind.ORDER in kinds(fresh.broken_promises()) or _has_hole(fresh), WITHIN_S, effects.tail)


@ON_REAL_SERVERS
def test_the_checker_rejects_who_does_an_unconfirmed_commit_again(fresh: World, doors: tuple[Door, Door]) -> None:
    _, into = doors
    fresh.source(0)
    effects = fresh.effects(LISTENER="position-unconditional", **NO_GUARD, **into.environment)
    eventually(lambda: fresh.handled() > 0, WITHIN_S, effects.tail)
    into.break_commits(A_FEW, fresh.handled)
    eventually(lambda: Kind.TWICE in kinds(fresh.broken_promises()), WITHIN_S, effects.tail)


def _has_hole(fresh: World) -> bool:
    """Whether an item has the effect of a later change and not of an earlier one."""
    history = fresh.history()
    done = set(history.effects or ())
    for item in {change.item for change in history.committed}:
        flags = [change in done for change in history.committed if change.item == item]
        if any(later and not earlier for earlier, later in itertools.pairwise(flags)):
            return True
    return False
