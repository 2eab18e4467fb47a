"""Applications whose rows another one sends: woken by their commits, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from streambind import StreamApplication, publish
from streambind.binders.memory import MemoryBroker
from streambind.errors import ConfigurationError
from streambind.outbound.outbox_status import outbox_status
from tests.acceptance.stage import prepare
from tests.services.process import wait_for

CONFIGURATION = """
spring.cloud.stream:
  memory.binder.name: relay-elsewhere
  bindings.out-a.destination: a
streambind:
  datasource.url: {url}
  outbox: {{lease: 3s}}
"""

Build = Callable[..., StreamApplication]


@pytest.fixture(params=["psycopg", "psycopg_async", "asyncpg"])
def build(request: pytest.FixtureRequest, postgres_url: str, tmp_path: Path) -> Iterator[Build]:
    """Builds applications on one database and one broker; the database is written to with psycopg."""
    prepare(postgres_url)
    with ExitStack() as stack, MemoryBroker.fresh("relay-elsewhere"):

        def make(driver: str = request.param, **settings: object) -> StreamApplication:
            path = tmp_path / "application.yaml"
            path.write_text(CONFIGURATION.format(url=postgres_url.replace("psycopg", driver)))
            overrides = {f"streambind.outbox.{name}": value for name, value in settings.items()}
            application = StreamApplication(path, arguments=[], overrides=overrides)
            assert application.database is not None
            stack.callback(application.database.loop.close)  # To dispose of the database may open it again.
            stack.callback(application.database.dispose)
            stack.callback(application.stop)
            return application

        yield make


def _commit(application: StreamApplication, keys: range) -> None:
    for key in keys:
        with application.sessions.begin() as session:
            publish(session, "out-a", {"key": key}, key=str(key))


def _is_empty(application: StreamApplication) -> bool:
    assert application.database is not None
    return outbox_status(application.database).backlog == 0


def _listens(application: StreamApplication) -> bool:
    running = application._running
    assert running is not None
    assert running._listener is not None
    return running._listener.listens.is_set()


@pytest.mark.usefixtures("without_polling")
def test_a_relay_elsewhere_is_woken_by_commits(build: Build) -> None:
    relay, writer = build(), build("psycopg", relay="false")
    relay.start(relay_only=True)
    writer.start()
    assert writer.relay is None
    assert wait_for(lambda: relay.relay is not None and len(relay.relay.shards) == 16, 20)
    assert wait_for(lambda: _listens(relay), 20)
    for start in range(3):
        _commit(writer, range(start, start + 1))
        assert wait_for(lambda: _is_empty(writer), 20)


@pytest.mark.usefixtures("without_polling")
def test_relays_that_share_the_shards_wake_each_other(build: Build) -> None:
    one, other = build("psycopg"), build()
    one.start()
    other.start()
    for application in (one, other):
        assert wait_for(lambda a=application: len(a.relay.shards) == 8, 20)  # type: ignore[misc]
        assert wait_for(lambda a=application: _listens(a), 20)  # type: ignore[misc]
    _commit(one, range(40))
    assert wait_for(lambda: _is_empty(one), 20)


@pytest.mark.usefixtures("without_polling")
def test_switched_off_nobody_is_woken(build: Build) -> None:
    relay, writer = build(notify="false"), build("psycopg", relay="false", notify="false")
    relay.start(relay_only=True)
    writer.start()
    assert wait_for(lambda: relay.relay is not None and len(relay.relay.shards) == 16, 20)
    assert [(a._running._listener, a._running._notifier) for a in (relay, writer) if a._running] == [
        (None, None)
    ] * 2
    _commit(writer, range(1))
    relay.stop()
    assert _is_empty(writer), "a relay that stops sends what is committed"


def test_a_relay_alone_needs_an_outbox(tmp_path: Path) -> None:
    (tmp_path / "application.yaml").write_text("spring.cloud.stream.memory.binder.name: x\n")
    application = StreamApplication(tmp_path, arguments=[])
    with pytest.raises(ConfigurationError, match="nothing to relay"):
        application.start(relay_only=True)
    assert not application.is_running
