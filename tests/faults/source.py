"""A service that inserts, changes and deletes items: `python -m tests.faults.source`.

It commits until there have been CHANGES of them in all (0: until SIGTERM), and ends when its outbox is empty.
What it has committed stands in the table `committed`, written in the same transactions: a killed run is continued
by the next one, and a commit whose outcome the run never learned is there or not.
"""

from __future__ import annotations

import tests.faults.clock  # isort: skip  # noqa: F401

import os
import signal
import sys
import threading

from sqlalchemy import String, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from streambind import EntityEvent, StreamApplication, publishes
from streambind.outbound.outbox_status import outbox_status
from streambind.testing.eventually import eventually

ITEMS = 4
NEVER = -1
"""The version in changes that are rolled back: it may not be seen anywhere."""
SENT_S = 120.0
_PACE_S = 0.004
"""Between two commits: what the tests are about is order and crashes, not load."""


class ItemChanged(EntityEvent):
    item_id: int
    version: int


class Base(DeclarativeBase):
    pass


@publishes("out-items", ItemChanged)
class Item(Base):
    __tablename__ = "item"

    item_id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]


class Committed(Base):
    """Each change, in the order of the commits: the truth that effects are held against."""

    __tablename__ = "committed"

    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int]
    version: Mapped[int]
    job: Mapped[str] = mapped_column(String(6))


def change(session: Session, number: int) -> None:
    """The next change of one of the items: every fifth one deletes it."""
    item_id = number % ITEMS + 1
    done = session.scalar(select(func.count()).where(Committed.item_id == item_id)) or 0
    item = session.get(Item, item_id)
    if item is None:
        session.add(item := Item(item_id=item_id, version=done + 1))
        job = "INSERT"
    elif done % 5 == 4:
        session.delete(item)
        job = "DELETE"
    else:
        item.version = done + 1
        job = "UPDATE"
    session.add(Committed(item_id=item_id, version=item.version, job=job))


def roll_back(session: Session, number: int) -> None:
    """A change that is flushed, outbox row and all, and then does not happen."""
    session.merge(Item(item_id=number % ITEMS + 1, version=NEVER))
    session.flush()
    session.rollback()


def write(stream: StreamApplication, changes: int, stop: threading.Event) -> None:
    """Commit one change after the other; those that the database refuses are tried anew."""
    while not stop.wait(_PACE_S):
        try:
            with stream.sessions() as session:
                number = session.scalar(select(func.count()).select_from(Committed)) or 0
                if changes and number >= changes:
                    return
                if number % 7 == 6:
                    roll_back(session, number)
                change(session, number)
                session.commit()
        except DBAPIError as error:
            sys.stderr.write(f"not committed: {error.orig}\n")


def wait_until_sent(stream: StreamApplication) -> None:
    """Until the outbox is empty: rows of shards that a killed run has leased wait for the lease's end."""
    database = stream.database
    assert database is not None
    eventually(lambda: not outbox_status(database).backlog, SENT_S, lambda: f"not all was sent: {stream.relay}")


def main() -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    stream = StreamApplication("tests/faults/config/source", include=[sys.modules[__name__]])
    with stream:
        write(stream, int(os.environ["CHANGES"]), stop)
        wait_until_sent(stream)


if __name__ == "__main__":
    main()
