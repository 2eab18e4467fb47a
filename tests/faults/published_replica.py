"""What the service of the effects may include instead of its listener: the copy of the items is a replica that is
published in turn, so that its rows go through a session, and an outbox. No mutant."""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from streambind import publishes, replicates, stream_listener
from tests.faults.effects import ItemChanged, log


class Base(DeclarativeBase):
    pass


@publishes("out-passed", ItemChanged)
@replicates("in-items", ItemChanged)
class Copy(Base):
    """The table of `effects.Copy`."""

    __tablename__ = "copy"

    item_id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]


@stream_listener("in-items")
def keep_log(event: ItemChanged, session: Session) -> None:
    log(session, event)
