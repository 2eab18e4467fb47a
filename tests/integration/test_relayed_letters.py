"""A relay that knows a service by its configuration alone serves its dead letters too."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session

from streambind import PermanentError, StreamApplication, stream_listener
from streambind.errors import ConfigurationError
from streambind.persistence.tables import Tables
from streambind.testing.eventually import eventually
from tests.integration.streams_code import Added

CONFIGURATION = """
spring.cloud.stream:
  memory.binder.name: {name}
  memory.bindings.in-a.consumer: {{enableDlq: {letters}}}
  defaultBinder: memory
  bindings:
    in-a: {{destination: a, group: g}}
streambind:
  datasource.url: sqlite:///{folder}/service.db
  outbox.relay: false
"""


@stream_listener("in-a")
def refuse(event: Added, session: Session) -> None:
    raise PermanentError("no")


def configured(folder: Path, *, letters: str = "true") -> Path:
    path = folder / "application.yaml"
    path.write_text(CONFIGURATION.format(name=folder.name, folder=folder, letters=letters))
    return path


def test_it_sends_what_listeners_elsewhere_have_written(tmp_path: Path) -> None:
    configuration = configured(tmp_path)
    outbox = Tables().outbox
    engine = create_engine(f"sqlite:///{tmp_path}/service.db")

    def unsent() -> int:
        with engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(outbox)) or 0

    sending = StreamApplication(_sender(tmp_path), arguments=[])
    with StreamApplication(configuration, include=[refuse], arguments=[]), sending:
        sending.bridge.send("out-a", {"jobType": "INSERT", "id": 1}, key=1).result()
        eventually(lambda: unsent() == 1, 20, "no dead letter in the outbox")
        relay = StreamApplication(configuration, arguments=[])
        relay.start(relay_only=True)
        try:
            eventually(lambda: unsent() == 0, 20, lambda: f"not relayed: {relay.relay}")
        finally:
            relay.stop()
    engine.dispose()


def test_without_dead_letters_there_is_nothing_to_relay(tmp_path: Path) -> None:
    relay = StreamApplication(configured(tmp_path, letters="false"), arguments=[])

    with pytest.raises(ConfigurationError, match="nothing to relay"):
        relay.start(relay_only=True)


def _sender(folder: Path) -> Path:
    path = folder / "sender.yaml"
    path.write_text(
        f"""
spring.cloud.stream:
  memory.binder.name: {folder.name}
  defaultBinder: memory
  bindings:
    out-a: {{destination: a, producer.publish: direct}}
"""
    )
    return path
