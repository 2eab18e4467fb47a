"""Whatever handlers do with their session, a batch of messages leaves what the messages leave one by one."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tests.integration.inbound.service import Effect, Event, Service, Thing, drain, event
from tests.unit.inbound.batches import ListBatch, numbered

Step = Callable[[Session, int, int], None]
"""Something that the handler of the n-th message does with one of a few rows."""


def note(session: Session, what: str, n: int) -> None:
    session.add(Effect(key=what, number=n))


def adds(session: Session, n: int, row: int) -> None:
    session.add(Thing(id=n * 10 + row, name=f"thing {row}"))


def adds_to_the_log(session: Session, n: int, row: int) -> None:
    note(session, f"log {row}", n)


def looks_last(session: Session, n: int, row: int) -> None:
    thing = Thing(id=n * 10 + row, name=f"thing {row}")
    session.add(thing)
    with session.no_autoflush:
        if session.scalars(select(Thing.id).where(Thing.name == thing.name)).first() is not None:
            session.expunge(thing) if thing in session.new else session.delete(thing)


def merges(session: Session, n: int, row: int) -> None:
    session.merge(Thing(id=row, name=f"merged {n % 3} {row}"))


def queries(session: Session, n: int, row: int) -> None:
    note(session, f"saw {session.scalar(select(func.count()).select_from(Thing))}", n)


def counts_by_core(session: Session, n: int, row: int) -> None:
    note(session, f"counted {session.connection().scalar(select(func.count()).select_from(Thing))}", n)


def renames(session: Session, n: int, row: int) -> None:
    if (thing := session.scalars(select(Thing).where(Thing.name == f"thing {row}")).first()) is not None:
        thing.name = f"renamed {n}"


def inserts_by_core(session: Session, n: int, row: int) -> None:
    session.execute(insert(Thing).values(id=1000 + n * 10 + row, name=f"thing {row}"))


def updates_by_core(session: Session, n: int, row: int) -> None:
    session.connection().execute(update(Thing).where(Thing.name == f"thing {row}").values(name=f"updated {n}"))


def deletes_by_core(session: Session, n: int, row: int) -> None:
    session.connection().execute(delete(Thing).where(Thing.name == f"thing {row}"))


def tries(session: Session, n: int, row: int) -> None:
    try:
        with session.begin_nested():
            adds(session, n, row)
    except IntegrityError:
        note(session, "taken", n)


def gives_up(session: Session, n: int, row: int) -> None:
    savepoint = session.begin_nested()
    adds(session, n, row)
    savepoint.rollback()


def gives_up_by_core(session: Session, n: int, row: int) -> None:
    with session.connection().begin_nested() as savepoint:
        session.connection().execute(delete(Thing))
        savepoint.rollback()


def thinks_better_of_it(session: Session, n: int, row: int) -> None:
    thing = Thing(id=n * 10 + row, name=f"thing {row}")
    session.add(thing)
    session.expunge(thing)


def forgets(session: Session, n: int, row: int) -> None:
    session.expire_all()


def throws_all_away(session: Session, n: int, row: int) -> None:
    session.expunge_all()


def fails(session: Session, n: int, row: int) -> None:
    raise ValueError("no")


STEPS: list[Step] = [
    *(adds, adds, adds_to_the_log, adds_to_the_log, looks_last, merges, queries, counts_by_core, renames),
    *(inserts_by_core, updates_by_core, deletes_by_core, tries, gives_up, gives_up_by_core),
    *(thinks_better_of_it, forgets, throws_all_away, fails),
]
HANDLERS = st.lists(
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 3)), min_size=1, max_size=3), min_size=2, max_size=6
)
Handlers = list[list[tuple[Step, int]]]
Left = tuple[dict[int, str], list[tuple[str, int]], int, int | None]


def left_by(service: Service, handlers: Handlers, *, singly: bool) -> Left:
    """The tables, how many messages were skipped, and the position, after these handlers at an empty database."""
    tables = service.database.tables
    used = (tables.position, tables.guard, Thing, Effect)
    service.database.run(lambda c: [c.execute(delete(table)) for table in used])

    def handler(event: Event, session: Session) -> None:
        for step, row in handlers[event.number - 1]:
            step(session, event.number, row)

    plan = service.keeping(handler, on_error="skip", max_attempts=1)
    records = [numbered(event("k", n), "k", n) for n in range(1, len(handlers) + 1)]
    for start in range(len(records)) if singly else [0]:
        drain(plan, ListBatch(records[start : start + 1] if singly else records, start=start))
    return service.things(), service.effects(), plan.statistics.figures().skipped, service.position()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(handlers=HANDLERS)
def test_a_batch_leaves_what_its_messages_leave_one_by_one(every_service: Service, handlers: Handlers) -> None:
    assert left_by(every_service, handlers, singly=False) == left_by(every_service, handlers, singly=True)
