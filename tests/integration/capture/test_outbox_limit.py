"""`outbox.max-rows`: a commit that would overfill the outbox fails, in the caller's hands, and no later one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, event, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from streambind import EntityEvent, StreamApplication, publishes
from streambind.errors import OutboxFullError
from streambind.outbound.outbox_limit import OutboxLimit
from tests.acceptance.stage import prepare


class Base(DeclarativeBase):
    pass


class Changed(EntityEvent):
    id: int


@publishes("out-thing", Changed)
class Thing(Base):
    __tablename__ = "limited_thing"

    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def stream(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StreamApplication]:
    url = f"sqlite:///{tmp_path / 'service.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    prepare(url)
    (tmp_path / "application.yaml").write_text(
        "spring.cloud.stream.bindings.out-thing.destination: thing\n"
        f"streambind: {{datasource.url: '{url}', outbox.max-rows: 3}}\n"
    )
    stream = StreamApplication(tmp_path, include=[Thing], arguments=[])
    Base.metadata.create_all(stream.engine)
    yield stream
    stream.engine.dispose()


def _add(stream: StreamApplication, *ids: int) -> None:
    with stream.sessions.begin() as session:
        session.add_all([Thing(id=each) for each in ids])


def _waiting(stream: StreamApplication) -> int:
    assert stream.database is not None
    outbox = stream.database.tables.outbox
    return stream.database.run(lambda c: c.scalar(select(func.count()).select_from(outbox)) or 0)


def test_what_does_not_fit_is_not_committed_and_fits_once_there_is_room(stream: StreamApplication) -> None:
    _add(stream, 1, 2)
    with pytest.raises(OutboxFullError, match=r"3 messages or more wait .*streambind outbox status"):
        _add(stream, 3, 4)
    with stream.sessions() as session:
        assert session.scalar(select(func.count()).select_from(Thing)) == 2
    _add(stream, 3)
    assert _waiting(stream) == 3
    assert stream.database is not None
    outbox = stream.database.tables.outbox
    stream.database.run(lambda c: c.execute(delete(outbox)))
    _add(stream, 4, 5, 6)
    assert _waiting(stream) == 3


def test_a_row_that_stays_behind_does_not_count_for_those_that_left(stream: StreamApplication) -> None:
    assert stream.database is not None
    outbox = stream.database.tables.outbox
    for number in range(10):
        _add(stream, number)
        last = delete(outbox).where(outbox.c.id > select(func.min(outbox.c.id)).scalar_subquery())
        stream.database.run(lambda c, last=last: c.execute(last))  # type: ignore[misc]
    assert _waiting(stream) == 1


def test_far_from_the_limit_it_looks_now_and_then_and_one_process_never_passes_it(
    stream: StreamApplication,
) -> None:
    database, now = stream.database, [0.0]
    assert database is not None
    limit = OutboxLimit(database, 100, clock=lambda: now[0])
    looks: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda c, cursor, text, *_: looks.append(text))

    def refuse(connection: Connection) -> None:
        limit.refuse(connection, 1)

    def looks_of(times: int) -> int:
        before = len(looks)
        for _ in range(times):
            database.run(refuse)
        return sum("sb_outbox" in text for text in looks[before:])

    assert looks_of(5) == 1  # It found room for 99 more, and does not look again for 4.
    assert looks_of(1) == 1
    now[0] = 1.0
    assert looks_of(1) == 1


def test_one_process_fills_it_to_the_limit_and_no_further(stream: StreamApplication, tmp_path: Path) -> None:
    roomy = StreamApplication(tmp_path, include=[Thing], arguments=["--streambind.outbox.max-rows=50"])
    for each in range(50):
        _add(roomy, each)
    with pytest.raises(OutboxFullError):
        _add(roomy, 50)
    assert _waiting(roomy) == 50
    roomy.engine.dispose()
