"""Replaying dead letters to a group whose positions the broker keeps: through a destination of its own.

`retry.<destination>.<group>` is listened to by that group alone, where `consumer.replay` is set; others that
consume the destination do not see what is sent there. It is also the record of what was replayed, and by whom.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property

from streambind.errors import ConfigurationError
from streambind.inbound.letter import Letter
from streambind.inbound.replay import MAX_REPLAYS, LetterPlace, ReplayOutcome, place_of
from streambind.inbound.replayed import ReplayMark, replay_mark
from streambind.message import Message


class DestinationReplay:
    """A `Replay`. At least once: what was sent and not confirmed, or is replayed by two at the same time, comes
    twice. `destinations` names where the replays of each destination go; `read` gives all that one holds, `send`
    returns when the broker has confirmed a message; `actor` is who does it."""

    def __init__(
        self,
        group: str,
        destinations: Mapping[str, str],
        *,
        read: Callable[[str], Iterable[Message]],
        send: Callable[[str, Message], None],
        actor: str,
    ) -> None:
        self._group = group
        self._destinations = destinations
        self._read = read
        self._send = send
        self._actor = actor

    def known(self) -> Mapping[LetterPlace, str]:
        """Those that the destinations still hold."""
        return self._known

    def replay(
        self, letters: Sequence[Letter], *, force: bool = False, dry_run: bool = False
    ) -> list[ReplayOutcome]:
        """As `Replay` says, in the order given. Whether later events of the key were handled since is not known.

        Raises:
            ConfigurationError: the group does not listen yet to where they would go.
            SendError: the broker has not confirmed one; those before it are replayed.
        """
        return [self._replay(letter, force=force, dry_run=dry_run) for letter in letters]

    def skip(self, letter: Letter) -> bool:
        raise ConfigurationError(
            f"group {self._group} keeps no positions in a database, and nothing else remembers what was left out: "
            "its letters stay open until the retention of their topic takes them"
        )

    @cached_property
    def _known(self) -> dict[LetterPlace, str]:
        marks = (
            replay_mark(record.raw_headers)
            for destination in self._destinations.values()
            for record in self._read(destination)
        )
        return {mark.letter: str(ReplayOutcome.REPLAYED) for mark in marks if mark is not None}

    def _replay(self, letter: Letter, *, force: bool, dry_run: bool) -> ReplayOutcome:
        came, place = letter.message, place_of(letter)
        destination = self._destinations.get(came.destination or "")
        if destination is None or letter.group not in (None, self._group):
            return ReplayOutcome.FOREIGN
        if came.partition is None or came.offset is None:
            return ReplayOutcome.FOREIGN
        if place in self._known:
            return ReplayOutcome.KNOWN
        before = replay_mark(came.raw_headers)
        count = 1 if before is None else before.count + 1
        if not force and count > MAX_REPLAYS:
            return ReplayOutcome.LOOPING
        if not dry_run:
            timestamp_ms = came.timestamp_ms if came.timestamp_ms is not None else letter.stands.timestamp_ms or 0
            first = (came.destination or "", came.partition, came.offset, timestamp_ms)
            headers = ReplayMark(place, first, count, self._actor).put_on(came.raw_headers)
            self._send(destination, Message(came.payload, came.key, raw_headers=headers))
        self._known[place] = str(ReplayOutcome.REPLAYED)
        return ReplayOutcome.REPLAYED
