"""What the service of the effects may include instead of its listener: the copy of the items is a replica, written
batch by batch, and a listener beside it keeps the log. No mutants."""

from __future__ import annotations

import threading

from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from streambind import replicates, stream_listener
from tests.faults.effects import ItemChanged, log


class Base(DeclarativeBase):
    pass


@replicates("in-items", ItemChanged)
class Copy(Base):
    """The table of `effects.Copy`."""

    __tablename__ = "copy"

    item_id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]


def version_unless_new(event: ItemChanged) -> int:
    if event.item_id % 2 == 0 and not threading.current_thread().name.endswith("-parked"):
        raise ValueError("not yet")
    return event.version


class FailsUnlessParked(Base):
    """The same in place of it, failing at every second item until the retry worker has it."""

    __table__ = Copy.__table__


replicates("in-items", ItemChanged, transform={"version": version_unless_new})(FailsUnlessParked)


@stream_listener("in-items")
def keep_log(events: list[ItemChanged], session: Session) -> None:
    for event in events:
        log(session, event)
