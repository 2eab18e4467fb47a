"""Writers and relays of a chaos run. Several of them write to the same few items at once.

Each transaction changes some items in one of many ways: objects of the session, statements, inside savepoints that
are released or rolled back, or not at all. Whatever is undone has had the version NEVER for a moment.
"""

from __future__ import annotations

import random
import signal
import sys
import threading
from collections.abc import Callable, Sequence

from sqlalchemy import create_engine, delete, insert, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Mapped, Session, mapped_column

from streambind import StreamApplication
from tests.faults import source
from tests.faults.source import NEVER, Base, Committed, Item

ITEMS = 40
_AT_ONCE = 4
_PAUSE_S = 0.2  # consumers keep up, though keys wait parked


class Slot(Base):
    """The place of an item, which is there when the item is not: whoever locks it has the item for itself. An item
    that exists has the version of its slot."""

    __tablename__ = "slot"

    item_id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]


def prepare(url: str) -> None:
    """Make the slots, before anybody writes."""
    engine = create_engine(url)
    try:
        Base.metadata.create_all(engine)
        with Session(engine) as session, session.begin():
            session.add_all(Slot(item_id=number + 1, version=0) for number in range(ITEMS))
    finally:
        engine.dispose()


def write() -> None:
    """Commit changes until SIGTERM; relays send them."""
    stop = _sigterm()
    stream = _application()
    while not stop.wait(_PAUSE_S):
        _write_once(stream)


def write_and_relay() -> None:
    """The same, and send them."""
    stop = _sigterm()
    with _application() as stream:
        while not stop.wait(_PAUSE_S):
            _write_once(stream)


def relay() -> StreamApplication:
    """Only sends."""
    return _application()


def _write_once(stream: StreamApplication) -> None:
    try:
        with stream.sessions() as session:
            _transaction(session, random.Random())
    except DBAPIError as error:
        sys.stderr.write(f"not committed: {error.orig}\n")


def _transaction(session: Session, chance: random.Random) -> None:
    chosen = sorted(chance.sample(range(1, ITEMS + 1), chance.randint(1, _AT_ONCE)))
    locked = select(Slot).where(Slot.item_id.in_(chosen)).order_by(Slot.item_id).with_for_update()
    slots = session.scalars(locked).all()
    for _ in range(chance.randint(1, 2)):
        chance.choice(_WAYS)(session, slots, chance)
    if chance.random() < 0.1:
        _spoil(session, slots, chance)
        session.rollback()
    else:
        session.commit()


def _objects(session: Session, slots: Sequence[Slot], chance: random.Random) -> None:
    for slot in slots:
        item = session.get(Item, slot.item_id)
        if item is None:
            slot.version += 1
            session.add(Item(item_id=slot.item_id, version=slot.version))
            _log(session, slot, "INSERT")
        elif chance.random() < 0.25:
            session.delete(item)
            _log(session, slot, "DELETE")
        else:
            slot.version += 1
            item.version = slot.version
            _log(session, slot, "UPDATE")
        session.flush()


def _bulk_update(session: Session, slots: Sequence[Slot], chance: random.Random) -> None:
    there = _existing(session, slots)
    for slot in there:
        slot.version += 1
        _log(session, slot, "UPDATE")
    chosen = Item.item_id.in_([slot.item_id for slot in there])
    session.execute(update(Item).where(chosen).values(version=Item.version + 1))


def _bulk_delete(session: Session, slots: Sequence[Slot], chance: random.Random) -> None:
    there = _existing(session, slots)[:2]
    for slot in there:
        _log(session, slot, "DELETE")
    session.execute(delete(Item).where(Item.item_id.in_([slot.item_id for slot in there])))


def _bulk_insert(session: Session, slots: Sequence[Slot], chance: random.Random) -> None:
    there = {slot.item_id for slot in _existing(session, slots)}
    absent = [slot for slot in slots if slot.item_id not in there]
    for slot in absent:
        slot.version += 1
        _log(session, slot, "INSERT")
    rows = [{"item_id": slot.item_id, "version": slot.version} for slot in absent]
    if rows and session.get_bind().dialect.insert_returning:
        session.execute(insert(Item), rows)
    else:  # MySQL returns no rows, so that the statement would be refused.
        session.add_all([Item(**row) for row in rows])


def _released_savepoint(session: Session, slots: Sequence[Slot], chance: random.Random) -> None:
    with session.begin_nested():
        _objects(session, slots, chance)


def _undone_savepoint(session: Session, slots: Sequence[Slot], chance: random.Random) -> None:
    savepoint = session.begin_nested()
    _spoil(session, slots, chance)
    savepoint.rollback()


def _savepoints_within_savepoints(session: Session, slots: Sequence[Slot], chance: random.Random) -> None:
    """The outer one is undone or kept, of the inner ones the first is undone."""
    outer = session.begin_nested()
    _undone_savepoint(session, slots, chance)
    if chance.random() < 0.5:
        _released_savepoint(session, slots, chance)
        outer.commit()
    else:
        with session.begin_nested():
            _spoil(session, slots, chance)
        outer.rollback()


def _spoil(session: Session, slots: Sequence[Slot], chance: random.Random) -> None:
    """Changes that are going to be undone, outbox rows and all."""
    for slot in slots:
        session.merge(Item(item_id=slot.item_id, version=NEVER))
    session.flush()
    if chance.random() < 0.5:
        chosen = Item.item_id.in_([slot.item_id for slot in slots])
        session.execute(update(Item).where(chosen).values(version=NEVER))


_WAYS: Sequence[Callable[[Session, Sequence[Slot], random.Random], None]] = (
    _objects,
    _bulk_update,
    _bulk_delete,
    _bulk_insert,
    _released_savepoint,
    _undone_savepoint,
    _savepoints_within_savepoints,
)


def _existing(session: Session, slots: Sequence[Slot]) -> list[Slot]:
    ids = set(session.scalars(select(Item.item_id).where(Item.item_id.in_([slot.item_id for slot in slots]))))
    return [slot for slot in slots if slot.item_id in ids]


def _log(session: Session, slot: Slot, job: str) -> None:
    session.add(Committed(item_id=slot.item_id, version=slot.version, job=job))


def _application() -> StreamApplication:
    return StreamApplication("tests/faults/config/source", include=[source])


def _sigterm() -> threading.Event:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    return stop
