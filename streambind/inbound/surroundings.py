"""What the application lends its inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, tzinfo

from streambind.event_loop import EventLoop
from streambind.inbound.dead_letter import DeadLetters
from streambind.inbound.replies import Replies
from streambind.persistence.database import Database


def _nothing() -> None:
    """Nobody waits for a commit."""


def _nobody(_: type) -> bool:
    """Nothing is published."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the application lends its inputs.

    `database_refused`: there would be a database, but for an error that is told already. `dead_letters` is there
    if the binding has a dead-letter destination. `on_commit` is called after each commit of a delivery, from the
    delivering thread; it must not block or raise. `publishes` says whether changes of a mapped class are
    published, so that they must go through a session.
    """

    loop: EventLoop
    database: Database | None = None
    database_refused: bool = False
    time_zone: tzinfo = UTC
    replies: Replies | None = None
    dead_letters: DeadLetters | None = None
    on_commit: Callable[[], None] = _nothing
    publishes: Callable[[type], bool] = _nobody
