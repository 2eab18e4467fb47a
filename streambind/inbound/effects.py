"""What delivery asks of whoever makes the effects of messages."""

from __future__ import annotations

from typing import Protocol

from streambind.binding.binder import Lane
from streambind.message import Batch, Message


class Effects(Protocol):
    """Makes the effects of messages, and keeps what says that they are made."""

    def apply(self, batch: Batch, count: int, *, singly: bool) -> int:
        """Handle the first `count` messages, or fewer, at least one, where that takes long; returns how many.
        `singly`: one by one, each with a savepoint of its own where there is a database, so that a failure shows
        its message.

        Raises:
            MessageFailed: at that index; `done` messages before it are done.
            Unattributed: a message failed, which one is not known; only if not `singly`, or if the failure
                showed at the commit.
            Trouble, Overtaken, Fenced: no message is to blame.
        """
        ...

    def pass_over(self, batch: Batch, index: int, letter: Message | None) -> None:
        """Make the message at `index` count as done without effects, once its dead letter, if there is to be
        one, cannot get lost any more; those before it are done.

        Raises:
            Trouble, Overtaken, Fenced: as with `apply`; Trouble if the letter was not confirmed.
            LetterRefused: the letter can never be sent.
            MessageFailed: its number is no longer the next one of its key.
        """
        ...

    def stored(self, lane: Lane) -> int | None:
        """Where the position stands, after Fenced; None if there is none.

        Raises:
            Trouble: the database is in the way.
        """
        ...


class Parking(Protocol):
    """Lets messages wait in the database that keeps the positions."""

    def park(self, batch: Batch, index: int, error: Exception) -> None:
        """Park the key of the message at `index`, and the message, in the transaction that moves past it; those
        before it are done.

        Raises:
            Trouble, Fenced: as with `Effects.apply`.
            MessageFailed: as much is parked as may be.
        """
        ...

    def count_failure(self, batch: Batch, index: int, error: Exception) -> bool:
        """Count the message's key among those that fail. True if it must be held where it is, for so many have
        lately that what fails is hardly these messages."""
        ...
