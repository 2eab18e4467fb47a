"""What has become of a key's events, judged from what the two databases and the log say of it (pure)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from streambind.verification.numbers import Numbers


class State(StrEnum):
    """A key's state. The first five are fine, or on their way; of the others somebody must know."""

    APPLIED = "applied"
    IN_OUTBOX = "in the outbox"
    BLOCKED = "blocked"
    ON_TOPIC = "on the topic"
    PARKED = "parked"
    MISSING = "missing"
    UNSEEN = "unseen"
    FORKED = "forked"
    AHEAD = "ahead"
    UNDONE = "undone"


WAITING = frozenset({State.IN_OUTBOX, State.BLOCKED, State.ON_TOPIC, State.PARKED})
WRONG = frozenset({State.MISSING, State.UNSEEN, State.FORKED, State.AHEAD, State.UNDONE})

MEANINGS: dict[State, str] = {
    State.IN_OUTBOX: "committed, not yet sent",
    State.BLOCKED: "can never be sent: streambind outbox status names the cause",
    State.ON_TOPIC: "sent, not yet done",
    State.PARKED: "set aside by the group until a message succeeds, or its predecessor comes",
    State.MISSING: (
        "sent, and neither applied nor waiting: lost to retention or a reset, or the guard's row is gone; commit "
        "the row again at the source, or reset the position to before it while the log holds it"
    ),
    State.UNSEEN: "sent before the group began (at latest, within the log, or after a reset)",
    State.FORKED: (
        "the last number was applied with another event: the source was restored without a new epoch; run "
        "streambind outbox new-epoch, then commit the row again"
    ),
    State.AHEAD: (
        "numbers were applied that the source has not given: it was restored without a new epoch, or is another "
        "database; run streambind outbox new-epoch, then commit the row again"
    ),
    State.UNDONE: (
        "what was applied last was undone by a restore, and the key has had no event since: commit the row again "
        "at the source, or delete it here"
    ),
}


class Given(NamedTuple):
    """The last event that a source has given a key: its number and its id."""

    seq: int
    event_id: UUID | None


class Guarded(NamedTuple):
    """The last event of a key that a group has applied."""

    epoch: int
    seq: int
    event_id: UUID | None


NOTHING = Given(0, None)


@dataclass(slots=True)
class Facts:
    """What is known of a key, in the order in which it was asked for.

    `given`: what the source had given; `first_unsent`: the lowest number that waited in the outbox then; `waiting`
    and `parked`: numbers that the log holds behind the group's position, and that the group has set aside
    (`waiting_now` are those of the source's epoch, wherever they wait); then `guarded`, and `given_after` and
    `epoch_after`: what the source had given by then. `began_within`: the group may not have seen the key's
    beginning. `is_compacted`: the log may lack numbers that a higher one follows.
    """

    epoch: int
    given: Given = NOTHING
    first_unsent: int | None = None
    is_blocked: bool = False
    waiting: Numbers = field(default_factory=Numbers)
    waiting_now: Numbers = field(default_factory=Numbers)
    parked: Numbers = field(default_factory=Numbers)
    guarded: Guarded | None = None
    given_after: Given = NOTHING
    epoch_after: int = 0
    began_within: bool = False
    is_compacted: bool = False

    @property
    def sent(self) -> int:
        """The last number that had left the outbox."""
        return self.given.seq if self.first_unsent is None else min(self.given.seq, self.first_unsent - 1)


class Verdict(NamedTuple):
    """A key's state, and the numbers that are not accounted for."""

    state: State
    missing: tuple[tuple[int, int], ...] = ()


def looks_applied(epoch: int, given: Given, guarded: Guarded | None) -> bool:
    """Whether a first look at both is enough."""
    if guarded is None:
        return given.seq == 0
    return guarded.epoch <= epoch and guarded.seq == given.seq and not _differ(guarded.event_id, given.event_id)


def judge(facts: Facts) -> Verdict:
    """Of keys that change meanwhile, what was given by the first question counts."""
    given, guarded = facts.given, facts.guarded
    if guarded is None:
        return _rest(facts, 0)
    if guarded.epoch > max(facts.epoch, facts.epoch_after):
        return Verdict(State.AHEAD)
    if guarded.epoch >= facts.epoch:
        if guarded.seq > facts.given_after.seq:
            return Verdict(State.AHEAD)
        if guarded.seq == given.seq and _differ(guarded.event_id, given.event_id):
            return Verdict(State.FORKED)
        return _rest(facts, guarded.seq)
    # Applied before the source's epoch was raised.
    if guarded.seq < given.seq:
        return _rest(facts, guarded.seq)
    if guarded.seq == given.seq and not _differ(guarded.event_id, given.event_id):
        return Verdict(State.APPLIED)
    if facts.sent < given.seq:
        return Verdict(State.BLOCKED if facts.is_blocked else State.IN_OUTBOX)
    if given.seq in facts.waiting_now:
        return Verdict(State.PARKED if given.seq in facts.parked else State.ON_TOPIC)
    return Verdict(State.UNDONE)


def _rest(facts: Facts, applied: int) -> Verdict:
    """Where the numbers are that come after those that were applied."""
    if applied >= facts.given.seq:
        return Verdict(State.APPLIED)
    if applied >= facts.sent:
        return Verdict(State.BLOCKED if facts.is_blocked else State.IN_OUTBOX)
    if facts.is_compacted:
        if facts.given_after.seq > facts.sent:
            # What was sent meanwhile may have taken the place of all that it follows: it will do for them.
            return Verdict(State.ON_TOPIC if facts.first_unsent is None else State.IN_OUTBOX)
        applied = max(applied, facts.parked.highest(facts.sent), facts.waiting.highest(facts.sent))
    lost = [
        hole
        for low, high in facts.parked.missing(applied + 1, facts.sent)
        for hole in facts.waiting.missing(low, high)
    ]
    if not lost:
        return Verdict(State.PARKED if facts.parked else State.ON_TOPIC)
    if facts.guarded is None and facts.began_within:
        return Verdict(State.UNSEEN, tuple(lost))
    return Verdict(State.MISSING, tuple(lost))


def _differ(one: UUID | None, other: UUID | None) -> bool:
    return one is not None and other is not None and one != other
