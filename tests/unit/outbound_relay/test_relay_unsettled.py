"""When what was delivered is deleted."""

from __future__ import annotations

import math

from streambind.outbound.relay_outcome import Blocked, RelayOutcome
from streambind.outbound.relay_unsettled import Unsettled
from tests.unit.outbound_relay.rows import row


def of(count: int, *, blocked: bool = False, trouble: str | None = None) -> RelayOutcome:
    """So many delivered rows of shard 0, sent in its first tenure."""
    refused = (Blocked(row(), "refused"),) if blocked else ()
    return RelayOutcome(tuple(row() for _ in range(count)), refused, trouble, {0: 1})


def test_nothing_is_due_without_outcomes() -> None:
    assert Unsettled(500).due_at == math.inf


def test_few_rows_wait_a_moment_from_the_first_on() -> None:
    unsettled = Unsettled(500)
    first, second = of(1), of(1)
    unsettled.add([first], 10.0)
    unsettled.add([second], 10.04)

    assert unsettled.due_at == 10.05
    assert unsettled.within({0: 1}) == [first, second]


def test_many_rows_do_not_wait() -> None:
    unsettled = Unsettled(500)
    unsettled.add([of(199)], 10.0)
    assert unsettled.due_at > 10.01

    unsettled.add([of(1)], 10.01)
    assert unsettled.due_at == 10.01


def test_a_whole_batch_does_not_wait_however_small_batches_are() -> None:
    unsettled = Unsettled(20)
    unsettled.add([of(20)], 10.0)

    assert unsettled.due_at == 10.0


def test_what_was_refused_or_is_to_be_sent_again_does_not_wait() -> None:
    for urgent in (of(1, blocked=True), of(1, trouble="the broker is away")):
        unsettled = Unsettled(500)
        unsettled.add([urgent], 10.0)
        assert unsettled.due_at == 10.0


def test_what_was_sent_in_another_tenure_does_not_count() -> None:
    unsettled = Unsettled(500)
    unsettled.add([of(1)], 10.0)

    assert [outcome.delivered for outcome in unsettled.within({0: 2})] == [()]
    assert unsettled.shards() == {0}


def test_once_the_database_knows_nothing_is_left() -> None:
    unsettled = Unsettled(500)
    unsettled.add([of(1)], 10.0)
    unsettled.clear()

    assert (len(unsettled), unsettled.due_at, unsettled.shards()) == (0, math.inf, set())
