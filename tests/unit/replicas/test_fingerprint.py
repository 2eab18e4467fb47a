"""What tells that a replica's code makes something else of messages than it did."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from functools import partial
from typing import Any

from pydantic import Field

from streambind import EntityEvent
from streambind.configuration.properties import ConsumerProperties
from streambind.inbound.limits import Limits
from streambind.inbound.replica_columns import read_columns
from streambind.inbound.replica_plan import ReplicaPlan
from streambind.inbound.replicates import replicas_of
from streambind.replicas.fingerprint import fingerprint
from streambind.replicas.replica import Replica
from tests.integration.inbound.replicas import Item

CODE = "def made(event): return {body}"


class Renamed(EntityEvent):
    id: int
    name: str = Field(alias="title")
    price: int = 0


class Tagged(EntityEvent):
    id: int
    name: str = ""
    price: int = 0
    tags: frozenset[str] = frozenset({"a", "b", "c", "d"})


def of(**mark: Any) -> str:
    """The fingerprint of items by a mark that differs in this."""
    plan = ReplicaPlan.of(read_columns(replace(replicas_of(Item)[0], **mark)))
    replica = Replica(
        plan, "in-x", "group", ("x",), "application/json", UTC, Limits.of(ConsumerProperties()), trusts=True
    )
    return fingerprint(replica)


def by(function: Callable[[Any], object]) -> str:
    return of(transform=(("name", function),))


def compiled(body: str, **surroundings: object) -> Callable[[Any], object]:
    namespace: dict[str, Any] = dict(surroundings)
    exec(CODE.format(body=body), namespace)
    made: Callable[[Any], object] = namespace["made"]
    return made


def times(factor: int) -> Callable[[Any], object]:
    return lambda event: event.price * factor


def product(event: Any, factor: int) -> Any:
    return event.price * factor


def by_default(factor: int) -> Callable[[Any], object]:
    def made(event: Any, *, by: int = factor) -> object:
        return event.price * by

    return made


def test_the_same_code_has_the_same_one() -> None:
    assert of() == of()
    assert by(compiled("event.name.upper()")) == by(compiled("event.name.upper()"))
    assert by(times(2)) == by(times(2))


def test_other_code_has_another_one() -> None:
    body = "event.name[:1]"
    seen = {
        of(),
        of(columns=(("name", "price"),)),
        of(event=Renamed),
        of(condition="payload.id == 1"),
        of(soft_delete=None, deletes="columns", owns=("price",)),
        by(compiled(body)),
        by(compiled("event.name[:2]")),
        by(compiled("[each for each in event.name if each in {'a', 'b'}]")),
        by(compiled("[each for each in event.name if each in {'a', 'c'}]")),
        by(compiled("helper(event)", helper=compiled(body))),
        by(compiled("helper(event)", helper=compiled("event.name[:3]"))),
        by(compiled("event.price * rate", rate=1.19)),
        by(compiled("event.price * rate", rate=1.07)),
        by(compiled("names[event.name]", names={"a": ["b"]})),
        by(compiled("names[event.name]", names={"a": ["c"]})),
        by(times(2)),
        by(times(3)),
        by(by_default(2)),
        by(by_default(3)),
        by(partial(product, factor=2)),
        by(partial(product, factor=3)),
    }
    assert len(seen) == 21


def test_a_helper_that_calls_itself_is_looked_at_once() -> None:
    helper = compiled("made(event)")
    assert by(helper) == by(compiled("made(event)"))


def test_it_is_the_same_in_every_process() -> None:
    """Of whatever seed hashes are, and wherever things lie in memory."""
    program = (
        "from tests.unit.replicas.test_fingerprint import Tagged, by, compiled, of\n"
        "print(by(compiled(\"event.name in {'a', 'b', 'c', 'd'}\")), of(event=Tagged))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    here = by(compiled("event.name in {'a', 'b', 'c', 'd'}")), of(event=Tagged)
    assert found == {" ".join(here) + "\n"}
