"""Destinations of one name at two brokers: refused where the tables could not tell them apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from streambind import StreamApplication, stream_listener
from streambind.configuration import Severity
from streambind.errors import ConfigurationError

BINDERS = """
spring.cloud.stream:
  defaultBinder: east
  binders:
    east: {type: memory, environment.streambind.memory.binder.name: east}
    west: {type: memory, environment.streambind.memory.binder.name: west}
"""
DATABASE = "streambind.datasource.url: sqlite:///service.db"


@stream_listener("in-east")
def keep_east(event: dict[str, object], session: Session) -> None:
    """With a position in the database."""


@stream_listener("in-west")
def keep_west(event: dict[str, object], session: Session) -> None:
    """With a position in the database."""


@stream_listener("in-plain")
def keep_plain(event: dict[str, object]) -> None:
    """Without."""


def _built(folder: Path, bindings: str, *include: object, database: str = DATABASE) -> list[str]:
    """The errors of an application with these bindings."""
    (folder / "application.yaml").write_text(f"{BINDERS}  bindings:\n{bindings}---\n{database}\n")
    try:
        application = StreamApplication(folder, include=include, arguments=())
    except ConfigurationError as error:
        return [str(finding) for finding in error.findings if finding.severity is Severity.ERROR]
    if application.database is not None:
        application.engine.dispose()
    return []


def test_two_outputs_to_one_name_at_two_brokers_through_the_outbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bindings = "    out-east: {destination: things}\n    out-west: {destination: things, binder: west}\n"

    [error] = _built(tmp_path, bindings)
    assert error.startswith("application.yaml:9:5  error")
    assert "binding out-west leads to things at binder west" in error
    assert "binding out-east (application.yaml:8:5) to the same name at binder east" in error

    assert _built(tmp_path, bindings.replace("west: {destination: things", "west: {destination: others")) == []
    assert _built(tmp_path, bindings.replace("binder: west", "producer.publish: direct, binder: west")) == []
    assert _built(tmp_path, bindings.replace("binder: west", "binder: east")) == []


def test_dead_letters_count_as_what_leads_to_the_outbox(tmp_path: Path) -> None:
    bindings = (
        "    in-east: {destination: things, group: g}\n"
        "    out-west: {destination: things.g.dlq, binder: west}\n"
        "  memory.bindings.in-east.consumer: {enableDlq: true, dlqName: things.g.dlq}\n"
    )
    [error] = _built(tmp_path, bindings, keep_east)
    assert "binding in-east leads to things.g.dlq at binder east" in error
    assert "binding out-west" in error


def test_two_inputs_of_one_group_and_name_at_two_brokers(tmp_path: Path) -> None:
    bindings = (
        "    in-east: {destination: 'things,more', group: g}\n"
        "    in-west: {destination: things, group: g, binder: west}\n"
    )
    [error] = _built(tmp_path, bindings, keep_east, keep_west)
    assert "binding in-west leads to things (group g) at binder west" in error
    assert "Give one of them another group" in error

    assert _built(tmp_path, bindings.replace("things, group: g", "things, group: h"), keep_east, keep_west) == []
    plain = bindings.replace("in-west", "in-plain")
    assert _built(tmp_path, plain, keep_east, keep_plain) == []
