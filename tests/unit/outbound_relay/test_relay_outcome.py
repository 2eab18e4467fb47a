"""Which rows may be deleted, which keys are blocked, and what is sent again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.errors import DestinationError, SendError
from streambind.outbound.relay_outcome import RelayOutcome, decide
from streambind.outbound.wire_message import OutboxRow
from tests.unit.outbound_relay.rows import row

Result = Sent | Failed | Unknown
Decide = Callable[[Sequence[OutboxRow], Sequence[Result]], RelayOutcome]

SENT = Sent(0, 0)
REFUSED = Failed(SendError("refused for good"), permanent=True)
AGAIN = Failed(SendError("not now"), permanent=False)
UNKNOWN = Unknown("purged")

results: st.SearchStrategy[Result] = st.sampled_from([SENT, SENT, SENT, REFUSED, AGAIN, UNKNOWN])
sends = st.lists(st.tuples(st.sampled_from([b"1", b"2", b"3", None]), results), max_size=30)


def check(decided: RelayOutcome, rows: Sequence[OutboxRow], answers: Sequence[Result]) -> None:
    """The rules, said in another way than the code says them."""
    answer = dict(zip(rows, answers, strict=True))
    for gone in decided.delivered:
        assert isinstance(answer[gone], Sent)
        if gone.key is not None:
            before = [r for r in rows if r.key == gone.key and r.id < gone.id]
            assert all(isinstance(answer[r], Sent) for r in before), "deleted behind a failed one"
    for entry in decided.blocked:
        stuck = answer[entry.row]
        assert isinstance(stuck, Failed)
        assert stuck.permanent
        if entry.row.key is not None:
            before = [r for r in rows if r.key == entry.row.key and r.id < entry.row.id]
            assert all(isinstance(answer[r], Sent) for r in before), "blocked before what is to be sent again"
    kept_for_nothing = {
        r
        for r in rows
        if r not in decided.delivered
        and all(isinstance(answer[e], Sent) for e in rows if e.key == r.key and e.id <= r.id)
    }
    assert not kept_for_nothing
    if any(isinstance(a, Unknown) for a in answers[:1]):
        assert decided.trouble


@settings(deadline=None)
@given(sends)
def test_the_rules_hold_for_every_mixture_of_answers(sent: list[tuple[bytes | None, Result]]) -> None:
    rows = [row(key) for key, _ in sent]
    answers = [answer for _, answer in sent]

    check(decide(rows, answers), rows, answers)


def test_what_follows_a_failed_one_of_its_key_is_kept_though_it_was_sent() -> None:
    first, second, other = row(b"1", 1), row(b"1", 2), row(b"2", 1)

    decided = decide([first, second, other], [AGAIN, SENT, SENT])

    assert decided.delivered == (other,)
    assert decided.blocked == ()
    assert decided.trouble == "SendError: not now"


def test_only_the_first_refused_row_of_a_key_blocks_it() -> None:
    rows = [row(b"1", n) for n in (1, 2, 3)]

    decided = decide(rows, [SENT, REFUSED, REFUSED])

    assert decided.delivered == (rows[0],)
    assert [entry.row for entry in decided.blocked] == [rows[1]]
    assert decided.blocked[0].reason == "SendError: refused for good"
    assert decided.trouble is None


def test_a_key_is_not_blocked_before_an_earlier_row_that_is_sent_again() -> None:
    decided = decide([row(b"1", 1), row(b"1", 2)], [UNKNOWN, REFUSED])

    assert decided.blocked == ()
    assert decided.trouble == "purged"


def test_a_destination_that_may_not_be_used_blocks_nobody() -> None:
    gone = Failed(DestinationError("lectures may not be written to"), permanent=True)

    decided = decide([row(b"1"), row(b"2")], [gone, gone])

    assert decided.blocked == ()
    assert decided.delivered == ()
    assert decided.trouble == "DestinationError: lectures may not be written to"


def test_rows_without_a_key_do_not_wait_for_each_other() -> None:
    rows = [row(None, None) for _ in range(3)]

    decided = decide(rows, [AGAIN, SENT, REFUSED])

    assert decided.delivered == (rows[1],)
    assert [entry.row for entry in decided.blocked] == [rows[2]]


def _deletes_all_that_was_sent(rows: Sequence[OutboxRow], answers: Sequence[Result]) -> RelayOutcome:
    right = decide(rows, answers)
    sent = tuple(r for r, answer in zip(rows, answers, strict=True) if isinstance(answer, Sent))
    return RelayOutcome(sent, right.blocked, right.trouble)


def _deletes_everything(rows: Sequence[OutboxRow], answers: Sequence[Result]) -> RelayOutcome:
    return RelayOutcome(tuple(rows), (), None)


def _deletes_nothing(rows: Sequence[OutboxRow], answers: Sequence[Result]) -> RelayOutcome:
    return RelayOutcome((), (), "x")


@pytest.mark.parametrize("mutant", [_deletes_all_that_was_sent, _deletes_everything, _deletes_nothing])
def test_the_checker_refuses_a_wrong_decision(mutant: Decide) -> None:
    rows = [row(b"1", 1), row(b"1", 2), row(b"2", 1)]
    answers: list[Result] = [AGAIN, SENT, SENT]

    with pytest.raises(AssertionError):
        check(mutant(rows, answers), rows, answers)
