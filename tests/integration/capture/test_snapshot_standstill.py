"""A snapshot that stands still in a chunk does not hold up the writers of its rows for ever."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from streambind.event import JobType
from streambind.outbound import snapshot as snapshot_module
from streambind.outbound.snapshot import Snapshot
from streambind.persistence import database as database_module
from streambind.testing.eventually import eventually
from tests.integration.capture.conftest import SYNC_ENGINES, Service, engine_service, reset
from tests.integration.capture.models import Seat
from tests.integration.capture.snapshots import finish, folded, rows, seats, silently

WITHIN_S = 20


@pytest.fixture(scope="module", params=SYNC_ENGINES[1:])
def server(request: pytest.FixtureRequest) -> Iterator[Service]:
    """A database that locks rows."""
    for service in engine_service(request):
        reset(service)
        yield service


def test_the_database_ends_its_transaction(server: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    silently(server, *seats(3))
    taken = Snapshot(server.database, "out-seatChanged")
    snapshot = taken.begin(JobType.UPDATE).snapshot

    def stand_still(name: str) -> None:
        if name == "snapshot.before_commit":
            assert not _is_free(server)
            eventually(lambda: _is_free(server), WITHIN_S, "the rows are locked still")

    with monkeypatch.context() as patch:
        patch.setattr(database_module, "OPERATOR_TIMEOUT_MS", 1000)
        patch.setattr(snapshot_module, "failpoint", stand_still)
        with pytest.raises(DBAPIError):
            taken.step(snapshot)

    assert server.events == []
    finish(taken)
    assert folded(server) == rows(server)


def _is_free(server: Service) -> bool:
    with server.database.sessions() as writer:
        try:
            writer.execute(select(Seat).with_for_update(nowait=True)).all()
        except DBAPIError:
            return False
    return True
