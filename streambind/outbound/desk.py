"""What an application's captured sessions share, and which classes of sessions it captures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from streambind.outbound.outbox import Outbox
from streambind.outbound.outgoing import Outgoing
from streambind.outbound.plans import Plans
from streambind.outbound.published_tables import PublishedTables
from streambind.persistence.database import Database

_ATTRIBUTE = "_streambind_desk"


@dataclass(frozen=True, slots=True)
class Desk:
    """What all captured sessions of an application share."""

    database: Database
    plans: Plans
    tables: PublishedTables
    outbox: Outbox
    wake: Callable[[], None]
    send_after_commit: Callable[[Sequence[Outgoing]], None]

    def committed(self, unsent: Sequence[Outgoing]) -> None:
        """A transaction with events is committed; these are to be sent now."""
        self.wake()
        if unsent:
            self.send_after_commit(unsent)


def desk_of(session_class: type[Session]) -> Desk | None:
    """Who captures the sessions of a class."""
    return getattr(session_class, _ATTRIBUTE, None)


def set_desk(session_class: type[Session], desk: Desk | None) -> None:
    """Have the sessions of a class captured from now on, or no longer."""
    setattr(session_class, _ATTRIBUTE, desk)


def has_had_desk(session_class: type[Session]) -> bool:
    """Whether the sessions of just this class are or were captured."""
    return _ATTRIBUTE in session_class.__dict__
