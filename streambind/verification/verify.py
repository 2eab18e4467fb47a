"""Holds a source's keys against a group's, in one walk over both; what does not fit is looked at again.

The walk reads both tables in the order of the keys, so that its memory does not grow with them. Writers go on
meanwhile: a key that does not fit is asked for again, in an order in which an honest history always fits. What the
source had given, and what of it was unsent, comes first; then where the log ends; then the group's positions; then
what lies between, what is parked, and last what was applied. All that was sent lies before the end of the log;
what lies before the position was applied or parked; what was parked and is not any more was applied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from streambind.message import Message, origin_of
from streambind.verification.group import GroupKeys
from streambind.verification.source import SourceIdentity, SourceKeys
from streambind.verification.verdict import NOTHING, Facts, Given, Guarded, State, Verdict, judge, looks_applied

SECOND_LOOK = 20_000
"""Keys that are looked at again together: each time the log behind the positions is read once."""


class Log(NamedTuple):
    """The destination at its broker: `ends()` by partition, and the messages from offsets up to those ends."""

    ends: Callable[[], Mapping[int, int]]
    read: Callable[[Mapping[int, int], Mapping[int, int]], Iterable[Message]]


class Example(NamedTuple):
    """One key that is not simply applied."""

    key: bytes
    verdict: Verdict
    given: Given
    guarded: Guarded | None


@dataclass(slots=True)
class Report:
    """How many keys are in which state, and the first `limit` of each state that is not `applied`."""

    source: SourceIdentity
    limit: int
    counts: Counter[State] = field(default_factory=Counter)
    examples: dict[State, list[Example]] = field(default_factory=dict)

    @property
    def keys(self) -> int:
        return sum(self.counts.values())

    def note(self, key: bytes, verdict: Verdict, facts: Facts) -> None:
        self.counts[verdict.state] += 1
        examples = self.examples.setdefault(verdict.state, [])
        if verdict.state is not State.APPLIED and len(examples) < self.limit:
            examples.append(Example(key, verdict, facts.given, facts.guarded))


def verify(source: SourceKeys, group: Callable[[str], GroupKeys], log: Log, *, limit: int) -> Report:
    """Whether the group has applied everything that the source has committed to one destination. `group` gives the
    group's keys for a source id.

    Raises:
        SQLAlchemyError: a database is away.
        BrokerError: the broker is away.
    """
    identity = source.identity()
    keys = group(identity.source_id)
    report = Report(identity, limit)
    doubtful: list[bytes] = []
    for key, given, guarded in merged(source.walk(), keys.walk()):
        if looks_applied(identity.epoch, given, guarded):
            report.counts[State.APPLIED] += 1
            continue
        doubtful.append(key)
        if len(doubtful) == SECOND_LOOK:
            _look_again(doubtful, source, keys, log, report)
            doubtful = []
    _look_again(doubtful, source, keys, log, report)
    return report


def merged(
    given: Iterator[tuple[bytes, Given]], guarded: Iterator[tuple[bytes, Guarded]]
) -> Iterator[tuple[bytes, Given, Guarded | None]]:
    """Two walks in the order of their keys as one; each key comes once."""
    left, right = next(given, None), next(guarded, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[0] < right[0]):
            assert left is not None
            yield left[0], left[1], None
            left = next(given, None)
        elif left is None or right[0] < left[0]:
            yield right[0], NOTHING, right[1]
            right = next(guarded, None)
        else:
            yield left[0], left[1], right[1]
            left, right = next(given, None), next(guarded, None)


def _look_again(doubtful: list[bytes], source: SourceKeys, group: GroupKeys, log: Log, report: Report) -> None:
    if not doubtful:
        return
    # The order of these questions is the proof: see above.
    identity = source.identity()
    given, unsent, blocked = source.given(doubtful), source.unsent(doubtful), source.blocked()
    facts = {
        key: Facts(
            identity.epoch, given.get(key, NOTHING), first_unsent=unsent.get(key), is_blocked=key in blocked
        )
        for key in doubtful
    }
    ends, positions = log.ends(), group.positions()
    behind = {partition: positions.get(partition, 0) for partition in ends}
    behind = {partition: at for partition, at in behind.items() if at < ends[partition]}
    _note_waiting(log.read(behind, ends) if behind else (), identity, facts)
    for key, (every, now) in group.parked(doubtful, identity.epoch).items():
        facts[key].parked = every
        if now:
            facts[key].waiting_now.join(now)
    began_within, is_compacted = group.began_within(), group.is_compacted()
    guarded = group.guarded(doubtful)
    after, epoch_after = source.given(doubtful), source.identity().epoch
    for key, found in facts.items():
        found.guarded, found.given_after = guarded.get(key), after.get(key, NOTHING)
        found.epoch_after, found.began_within = epoch_after, began_within
        found.is_compacted = is_compacted
        report.note(key, judge(found), found)


def _note_waiting(messages: Iterable[Message], source: SourceIdentity, facts: Mapping[bytes, Facts]) -> None:
    for message in messages:
        origin = origin_of(message.raw_headers)
        found = facts.get(message.key or b"")
        if origin is None or found is None or origin.source_id != source.source_id:
            continue
        if origin.destination == message.destination:
            found.waiting.add(origin.seq)
            if origin.epoch == source.epoch:
                found.waiting_now.add(origin.seq)
