"""The guard on PostgreSQL rewrites rows where they are: an update that stays in its page changes no index."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text

from tests.integration.inbound.service import DESTINATION, Service, event, keep
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
