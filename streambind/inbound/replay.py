"""What a replay of dead letters is, wherever the group keeps its positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from streambind.inbound.letter import Letter

MAX_REPLAYS = 3
"""How often a message is replayed before somebody has to insist."""

LetterPlace = tuple[str, int, int, int]
"""Where a letter stands: destination, partition, offset, and its time there, by which a destination that was made
anew is told."""


class ReplayOutcome(StrEnum):
    """`known`: it was dealt with before. `foreign`: it is not this binding's, or does not say where it came from.
    `superseded`: later events of its key have been applied, and it would undo them. `looping`: it was replayed
    too often. `full`: as much is parked as may be."""

    REPLAYED = "replayed"
    KNOWN = "known"
    FOREIGN = "foreign"
    SUPERSEDED = "superseded"
    LOOPING = "looping"
    FULL = "full"


class Replay(Protocol):
    """The replays of one group: to it, and to nobody else."""

    def known(self) -> Mapping[LetterPlace, str]:
        """The letters that were dealt with, and how: `replayed` or `skipped`."""
        ...

    def replay(
        self, letters: Sequence[Letter], *, force: bool = False, dry_run: bool = False
    ) -> list[ReplayOutcome]:
        """Have the messages of these letters, of one key, handled once more, and remember the letters. `force`:
        also if later events of the key were applied, and however often they were replayed. `dry_run`: only say
        what would be."""
        ...

    def skip(self, letter: Letter) -> bool:
        """Leave the letter alone from now on; False if it was dealt with before.

        Raises:
            ConfigurationError: there is nothing that remembers it.
        """
        ...


def place_of(letter: Letter) -> LetterPlace:
    """What the letter is remembered by."""
    stands = letter.stands
    return (stands.destination or "", stands.partition or 0, stands.offset or 0, stands.timestamp_ms or 0)
