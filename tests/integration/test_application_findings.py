"""What building an application finds: all of it at once, each with its place and its remedy."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from streambind import StreamApplication, stream_listener
from streambind.configuration import Severity
from streambind.errors import ConfigurationError

CODE = """
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from streambind import EntityEvent, publishes, send_to, stream_listener


class Base(DeclarativeBase):
    pass


class Added(EntityEvent):
    id: int


@publishes("{output}", Added)
class Thing(Base):
    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)


@stream_listener("{input}")
def keep(event: Added, session: Session) -> None:
    pass
"""
CONFIGURATION = """
spring:
  cloud:
    stream:
      bindings:
        out-things:
          destination: things
        in-things:
          destination: things
          group: g
---
spring.config.activate.on-profile: docker
spring.cloud.stream.bindings.in-docker: {destination: d, group: g}
"""
DATABASE = "streambind.datasource.url: sqlite:///service.db\n"


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one_and_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = _refused(tmp_path, monkeypatch, output="out-thing", listened="in-thinks")
    texts = [str(finding) for finding in error.findings if finding.severity is Severity.ERROR]
    assert len(texts) == 2
    listener = next(text for text in texts if "keep" in text)
    publisher = next(text for text in texts if "Thing" in text)
    assert "did you mean 'in-things'" in listener
    assert listener.startswith("service_code.py:20:1  error")
    assert "did you mean 'out-things'" in publisher
    assert publisher.startswith("service_code.py:14:1  error")
    assert "2 errors" in str(error)


def test_a_binding_of_an_inactive_profile_is_answered_with_the_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = _refused(tmp_path, monkeypatch, output="out-things", listened="in-docker")
    [finding] = [finding for finding in error.findings if finding.severity is Severity.ERROR]
    assert "spring.profiles.active=docker" in finding.text


def test_mistakes_of_file_and_code_are_told_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = CONFIGURATION.replace("destination: things", "destinaton: things", 1)
    error = _refused(tmp_path, monkeypatch, output="out-things", listened="in-other", configuration=configuration)
    text = str(error)
    assert "did you mean 'destination'" in text
    assert "application.yaml:7:11" in text
    assert "'in-other'" in text
    assert "errors" in text.splitlines()[0]


def test_a_publisher_without_a_database_is_told_how_to_give_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = _refused(tmp_path, monkeypatch, output="out-things", listened="in-things", database="")
    assert "streambind.datasource.url" in str(error)
    assert "StreamApplication(..., database=Sessions)" in str(error)


def test_a_binding_without_listener_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = _module(tmp_path, monkeypatch, output="out-things", listened="in-things")
    (tmp_path / "application.yaml").write_text(CONFIGURATION + "---\n" + DATABASE)
    application = StreamApplication(tmp_path, include=[module.Thing], arguments=())
    [finding] = application.findings
    assert finding.severity is Severity.WARNING
    assert "in-things has no listener" in finding.text
    application.engine.dispose()


PATTERN = "kafka.bindings.in-things.consumer.destinationIsPattern: true"


def test_a_pattern_of_names_has_no_positions_to_keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = CONFIGURATION.replace("stream:\n", f"stream:\n      {PATTERN}\n", 1)
    error = _refused(tmp_path, monkeypatch, output="out-things", listened="in-things", configuration=configuration)
    [finding] = [finding for finding in error.findings if finding.severity is Severity.ERROR]
    assert "binding in-things: a listener that takes a Session, or a replica, with destinationIs" in finding.text
    assert finding.origin is not None
    assert finding.origin.line == configuration.splitlines().index("        in-things:") + 1


def test_a_listener_without_a_group_is_told_what_that_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    module = _module(tmp_path, monkeypatch, output="out-things", listened="in-things")
    anonymous = CONFIGURATION.replace("          group: g\n", "") + "---\n" + DATABASE
    (tmp_path / "application.yaml").write_text(f"spring.cloud.stream.defaultBinder: memory\n---\n{anonymous}")

    @stream_listener("in-things")
    def looks(event: dict[str, Any]) -> None: ...

    with StreamApplication(tmp_path, include=[module.Thing, looks], arguments=()) as application:
        pass
    application.engine.dispose()
    [text] = [record.getMessage() for record in caplog.records if "anonymous" in record.getMessage()]
    assert "warning  binding in-things has no group, so it is anonymous: nothing is remembered" in text
    assert "set bindings.in-things.group, or if that is meant, startOffset" in text
    error = _refused(tmp_path, monkeypatch, output="out-things", listened="in-things", configuration=anonymous)
    assert [each.text for each in error.findings if "group" in each.text] == [
        "listener keep: it takes Session, but in-things has no group, and an anonymous one has no position to "
        "keep; set bindings.in-things.group"
    ]


@pytest.mark.parametrize(
    ("database", "configuration", "says"),
    [
        ("streambind.datasource.url: garbage\n", CONFIGURATION, "is not a SQLAlchemy URL"),
        ("streambind.datasource.url: oracle://a/b\n", CONFIGURATION, "not yet in oracle"),
        ("streambind.datasource.url: ${NOWHERE}\n", CONFIGURATION, "NOWHERE"),
        (DATABASE, CONFIGURATION.replace("destination: things\n", "destination: t!\n", 1), "topic name"),
        (DATABASE, CONFIGURATION.replace("spring:", "spring: [", 1), "not YAML"),
        (
            DATABASE,
            CONFIGURATION.replace("destination: things\n", "contentType: application/xml\n", 1),
            "no converter for contentType 'application/xml'",
        ),
    ],
)
def test_what_only_follows_from_another_mistake_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str, configuration: str, says: str
) -> None:
    error = _refused(
        tmp_path,
        monkeypatch,
        output="out-things",
        listened="in-things",
        configuration=configuration,
        database=database,
    )
    [finding] = [finding for finding in error.findings if finding.severity is Severity.ERROR]
    assert says in finding.text
    assert finding.origin is not None
    assert (finding.origin.source, finding.origin.line is None) == (str(tmp_path / "application.yaml"), False)


def test_places_in_code_and_files_are_shown_in_one_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    configuration = CONFIGURATION.replace("destination: things", "destinaton: things", 1)
    error = _refused(tmp_path, monkeypatch, output="out-thing", listened="in-things", configuration=configuration)
    places = [str(finding).split(":")[0] for finding in error.findings]
    assert set(places) == {"application.yaml", "service_code.py"}


def _refused(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    output: str,
    listened: str,
    configuration: str = CONFIGURATION,
    database: str = DATABASE,
) -> ConfigurationError:
    """What building with this code and configuration raises."""
    module = _module(folder, monkeypatch, output=output, listened=listened)
    (folder / "application.yaml").write_text(f"{configuration}---\n{database}")
    with pytest.raises(ConfigurationError) as caught:
        StreamApplication(folder, include=[module], arguments=())
    return caught.value


def _module(folder: Path, monkeypatch: pytest.MonkeyPatch, *, output: str, listened: str) -> Any:
    """The code as a module of its own, with a file, so that findings can name lines."""
    file = folder / "service_code.py"
    file.write_text(CODE.format(output=output, input=listened))
    spec = importlib.util.spec_from_file_location("service_code", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "service_code", module)
    spec.loader.exec_module(module)
    return module
