"""`streambind explain`: values with their origins, and the timeline of a failing message."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run

YAML = """\
spring.cloud.stream:
  default.consumer.maxAttempts: 2
  bindings:
    in-a: {destination: a, group: g, consumer: {on-error-of: {ValueError: skip}}}
    out-a: {destination: a}
  kafka.bindings.in-a.consumer:
    enableDlq: true
    configuration: {sasl.password: "${SECRET:hush}"}
"""
CODE = """\
from streambind import StreamApplication, stream_listener


@stream_listener("in-a")
def listen(payload: dict) -> None: ...


stream = StreamApplication("application.yaml", include=[listen], arguments=[])
"""


@pytest.fixture
def service(folder: Path, configured: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> str:
    configured(YAML)
    (folder / "explained.py").write_text(CODE)
    monkeypatch.syspath_prepend(folder)
    return "explained:stream"


def _settings(streambind: Run, *arguments: str) -> dict[str, tuple[str, str]]:
    document = json.loads(streambind("explain", *arguments, "--json").stdout)
    return {each["key"]: (each["value"], each["origin"]) for each in document["settings"]}


def test_each_value_tells_where_it_comes_from(streambind: Run, service: str) -> None:
    settings = _settings(streambind, service, "in-a")
    assert settings["destination"] == ("a", "application.yaml:4:12")
    assert settings["consumer.maxAttempts"] == ("2", "application.yaml:2:20")
    assert settings["consumer.concurrency"] == ("1", "default")
    assert settings["kafka.consumer.enableDlq"] == ("true", "application.yaml:7:5")
    assert settings["consumer.onErrorOf.ValueError"][0] == "skip"
    assert settings["consumer.onError"] == ("dlq", "default, for this listener")
    assert not any(key.startswith("producer.") for key in settings)


REPLICA = """\
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from streambind import EntityEvent, StreamApplication, replicates


class Changed(EntityEvent):
    id: int
    full_name: str


class Base(DeclarativeBase): ...


@replicates("in-a", Changed, columns={"name": "full_name"}, transform={"size": lambda e: 1}, soft_delete="gone")
class Copy(Base):
    __tablename__ = "copy"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    size: Mapped[int]
    gone: Mapped[bool]


stream = StreamApplication(
    "application.yaml", include=[Copy], arguments=[], overrides={"streambind.datasource.url": "sqlite:///a.db"}
)
"""


def test_a_replica_is_shown_column_by_column(
    streambind: Run, folder: Path, configured: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(YAML)
    (folder / "replicated.py").write_text(REPLICA)
    monkeypatch.syspath_prepend(folder)
    document = json.loads(streambind("explain", "replicated:stream", "in-a", "--json").stdout)
    assert [tuple(each.values()) for each in document["replicas"]] == [
        ("Copy.id", "field id (key)", ""),
        ("Copy.name", "field full_name", ""),
        ("Copy.size", "transform", ""),
        ("Copy.gone", "soft delete", "set"),
    ]
    assert "Copy.name" in streambind("explain", "replicated:stream", "in-a").stdout
    (binding, _) = json.loads(streambind("bindings", "replicated:stream", "--json").stdout)
    assert binding["code"] == ["replicated.Copy"]
    assert streambind("check", "replicated:stream").exit_code == 0


def test_no_secret_is_shown(streambind: Run, service: str) -> None:
    assert _settings(streambind, service, "in-a")["kafka.consumer.configuration.sasl.password"][0] == "******"
    assert "hush" not in streambind("explain", service, "in-a").output


def test_the_timeline_of_a_failing_message(streambind: Run, service: str) -> None:
    shown = streambind("explain", service, "in-a").stdout
    for line in ("0 s", "1 s", "it goes to error.a.g", "ValueError: it is passed over"):
        assert line in shown
    failures = json.loads(streambind("explain", service, "in-a", "--json").stdout)["failures"]
    assert [step["at_ms"] for step in failures[:3]] == [0, 1000, 1000]


def test_an_output_has_no_timeline(streambind: Run, service: str) -> None:
    assert json.loads(streambind("explain", service, "out-a", "--json").stdout)["failures"] == []
    assert "producer.publish" in _settings(streambind, service, "out-a")


def test_a_binding_that_is_not_there_is_an_error_with_the_nearest_name(streambind: Run, service: str) -> None:
    result = streambind("explain", service, "in-aa")
    assert result.exit_code == 1
    assert "there is no binding 'in-aa'; did you mean 'in-a'?" in result.stderr
