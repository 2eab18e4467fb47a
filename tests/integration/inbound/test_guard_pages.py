"""The guard on PostgreSQL: it rewrites rows where they are, for an update that stays in its page changes no index,
and it finds rows by the index, however many there are by now."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.integration.inbound.service import DESTINATION, Event, Service, event, keep
from tests.unit.inbound.batches import ListBatch, numbered

KEYS = [f"k{n:03}" for n in range(300)]


def of_all_keys(number: int) -> ListBatch:
    records = [numbered(event(key, number), key, number) for key in KEYS]
    return ListBatch(records, (number - 1) * len(KEYS), DESTINATION, 0)


def pages(service: Service) -> Sequence[tuple[bytes, int, int]]:
    """Key, number and page of each row."""
    query = text("SELECT key, seq, CAST((CAST(CAST(ctid AS text) AS point))[0] AS int) FROM sb_guard ORDER BY key")
    rows = service.database.run(lambda connection: connection.execute(query).all())
    return [(bytes(key), seq, page) for key, seq, page in rows]


def test_the_rows_of_a_batch_are_rewritten_in_their_pages(postgres_service: Service) -> None:
    service = postgres_service
    plan = service.plan(keep)
    plan.deliver(of_all_keys(1))
    before = pages(service)
    assert len({page for _, _, page in before}) > 1
    plan.deliver(of_all_keys(2))

    assert pages(service) == [(key, 2, page) for key, _, page in before]


def test_rows_are_found_by_the_index_when_the_table_has_grown(postgres_service: Service) -> None:
    """Nobody analyzes the table meanwhile, and the driver prepares what it executes more than five times."""
    scanned: list[int] = []
    scans = text("SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'sb_guard'")

    def look(event: Event, session: Session) -> None:
        if event.number > 1:
            scanned.append(session.scalars(scans).one())

    plan = postgres_service.plan(look)

    def deliver(keys: Sequence[str], number: int, start: int) -> int:
        records = [numbered(event(key, number), key, number) for key in keys]
        plan.deliver(ListBatch(records, start, DESTINATION, 0))
        return start + len(records)

    at = 0
    for each in range(12):
        at = deliver([f"first-{each}"], 1, at)
    at = deliver([f"k{n}" for n in range(3000)], 1, at)
    for each in range(12):
        at = deliver([f"then-{each}"], 1, at)
    for number in range(2, 8):
        at = deliver(["k7"], number, at)

    # What was counted before counts too, until it is written down somewhere else.
    assert [after for before, after in pairwise(scanned) if after > before] == []
    assert len(scanned) == 6
