"""Relays woken by the commits of other processes: NOTIFY and LISTEN, on every driver."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from sqlalchemy import Connection

from streambind.event_loop import EventLoop
from streambind.outbound import wake_others
from streambind.outbound.wake_others import Listener, Notifier
from streambind.persistence.database import Database
from streambind.persistence.notifications import can_listen, notify
from tests.services.process import wait_for


@pytest.fixture(params=["postgresql+psycopg", "postgresql+psycopg_async", "postgresql+asyncpg"])
def listening(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[Database]:
    """A PostgreSQL database on each driver that can listen."""
    loop = EventLoop()
    database = Database.from_url(postgres_url.replace("postgresql+psycopg", request.param), loop=loop)
    yield database
    database.dispose()
    loop.close()


class Woken:
    """A listener that counts."""

    def __init__(self, database: Database) -> None:
        self.count = 0
        self.changed = threading.Condition()
        self.listener = Listener(database, self._wake)
        self.listener.start()
        assert self.listener.listens.wait(20)
        assert self.at_least(1)  # the one at the beginning

    def at_least(self, count: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.count >= count, 20)

    def _wake(self) -> None:
        with self.changed:
            self.count += 1
            self.changed.notify_all()


@pytest.fixture
def woken(listening: Database) -> Iterator[Woken]:
    woken = Woken(listening)
    yield woken
    woken.listener.stop(5000)
    assert not woken.listener._thread.is_alive()


def test_a_commit_elsewhere_wakes(listening: Database, woken: Woken) -> None:
    assert can_listen(listening)
    notify(listening)
    assert woken.at_least(2)
    notify(listening)
    assert woken.at_least(3)


def test_a_lost_connection_is_made_anew(
    listening: Database, woken: Woken, caplog: pytest.LogCaptureFixture
) -> None:
    def cut(connection: Connection) -> None:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND datname = current_database()"
        )

    caplog.set_level(logging.INFO)
    listening.dispose()
    listening.run(cut)
    assert wait_for(lambda: "LISTEN fails" in caplog.text, 20)
    assert wait_for(lambda: "woken by commits of other processes again" in caplog.text, 20)
    before = woken.count
    notify(listening)
    assert woken.at_least(before + 1)


def test_many_commits_are_few_notifications(listening: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    told, entered, leave = [], threading.Event(), threading.Event()

    def slowly(database: Database) -> None:
        told.append(database)
        entered.set()
        assert leave.wait(20)

    monkeypatch.setattr(wake_others, "notify", slowly)
    notifier = Notifier(listening)
    notifier.start()
    notifier.wake()
    assert entered.wait(20)
    for _ in range(1000):
        notifier.wake()
    leave.set()
    notifier.stop(5000)
    notifier.stop(5000)
    assert len(told) == 2


def test_between_notifications_are_ten_milliseconds(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many commits there are: each NOTIFY takes a lock of the whole database."""
    told: list[float] = []
    notifier = Notifier(Database.from_url(postgres_url, loop=EventLoop()))

    def told_again(_: Database) -> None:
        told.append(time.monotonic())
        notifier.wake()  # Somebody commits meanwhile.

    monkeypatch.setattr(wake_others, "notify", told_again)
    notifier.start()
    notifier.wake()
    assert wait_for(lambda: len(told) >= 5, 20)
    monkeypatch.setattr(wake_others, "notify", lambda _: None)
    notifier.stop(5000)
    assert min(later - earlier for earlier, later in pairwise(told)) >= 0.01


def test_a_database_that_is_away_costs_a_warning_and_no_more(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    away = Database.from_url("postgresql+psycopg://nobody@127.0.0.1:1/none", loop=EventLoop())
    notifier, listener = Notifier(away), Listener(away, lambda: None)
    notifier.start()
    listener.start()
    notifier.wake()
    assert wait_for(lambda: "other relays cannot be woken" in caplog.text and "LISTEN fails" in caplog.text, 20)
    notifier.wake()
    notifier.stop(5000)
    listener.stop(5000)
    assert caplog.text.count("other relays cannot be woken") == caplog.text.count("LISTEN fails") == 1
