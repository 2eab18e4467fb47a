"""What `@send_to` sends, and who sends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy.orm import Session

from streambind.route import Cause


@dataclass(frozen=True, slots=True)
class Reply:
    """One message for an output binding. `key` is what the listener's `key=` made, `inherited_key` the key of the
    message that was handled, for an output that makes none itself; None if there is none. `cause` is what it
    answers."""

    binding: str
    payload: object
    key: object = None
    inherited_key: bytes | None = None
    cause: Cause | None = field(default=None, compare=False)


class Replies(Protocol):
    """Given by the application. Both methods are called from the thread, or the greenlet, that handles the
    message, and raise EncodeError for a payload that has no bytes."""

    def publish(self, session: Session, reply: Reply) -> None:
        """Write the reply in the session's transaction; it leaves when that commits."""
        ...

    def send(self, replies: Sequence[Reply]) -> None:
        """Return when the broker has confirmed all of them, in this order.

        Raises:
            SendError: at least one was not confirmed; all of them may be sent again.
        """
        ...
