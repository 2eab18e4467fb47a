"""Replicas of classes that are not one's own, marked by a call: found where the call stands, and missed aloud."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streambind import StreamApplication
from streambind.configuration import Finding, Severity

VENDOR = """
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class Category(Base):
    __tablename__ = "category"
    id: Mapped[int] = mapped_column(primary_key=True)
"""
EVENTS = """
from streambind import EntityEvent

class Changed(EntityEvent):
    id: int
"""
CALL = """
import {name}_events as events, {name}_vendor as vendor
from streambind import replicates, stream_listener

replicates("in-a", events.Changed)(vendor.Category)

@stream_listener("in-a")
def listen(event: events.Changed) -> None: ...

@stream_listener("in-b")
def other(event: events.Changed) -> None: ...
"""
CONFIGURATION = """
spring.cloud.stream:
  defaultBinder: memory
  bindings:
    in-a: {destination: a, group: g}
    in-b: {destination: b, group: g}
streambind.datasource.url: sqlite:///never-opened.db
"""
Modules = Callable[[str], Any]


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Modules:
    """Imports one of three modules of the test's own: `vendor`, `events` and `app`, which marks vendor's class."""
    (tmp_path / "application.yaml").write_text(CONFIGURATION)
    name = tmp_path.name.replace("-", "_")
    for part, text in {"vendor": VENDOR, "events": EVENTS, "app": CALL.format(name=name)}.items():
        (tmp_path / f"{name}_{part}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    return lambda part: importlib.import_module(f"{name}_{part}")


def built(folder: Path, *include: object) -> tuple[StreamApplication, list[Finding]]:
    application = StreamApplication(folder, include=include, arguments=())
    application.engine.dispose()
    return application, [each for each in application.findings if each.severity is Severity.WARNING]


def replicas(application: StreamApplication) -> list[str]:
    return [mark.declared_on.__name__ for mark in application.blueprint.declarations.replicas]


def test_the_module_that_marks_a_class_declares_it(tmp_path: Path, modules: Modules) -> None:
    application, warnings = built(tmp_path, modules("app"))
    assert (replicas(application), warnings) == (["Category"], [])


def test_the_class_itself_may_be_included(tmp_path: Path, modules: Modules) -> None:
    app = modules("app")
    application, warnings = built(tmp_path, modules("vendor").Category, app.other)
    assert (replicas(application), warnings) == (["Category"], [])


def test_what_is_marked_beside_an_included_function_is_missed_although_its_input_is_listened_to(
    tmp_path: Path, modules: Modules
) -> None:
    app = modules("app")
    application, [warning] = built(tmp_path, app.listen, app.other)
    assert replicas(application) == []
    assert warning.text.startswith("replica of in-a is not part of this application: ")
    assert "_vendor.Category is marked with replicates('in-a', ...)" in warning.text
    assert warning.text.endswith("stands in include=[...]; add one of them")
    assert warning.origin is not None
    assert (Path(warning.origin.source), warning.origin.line) == (tmp_path / f"{app.__name__}.py", 5)


def test_an_input_that_nobody_listens_to_is_told_with_the_replica_that_may_be_meant(
    tmp_path: Path, modules: Modules
) -> None:
    modules("app")
    _, [first, second] = built(tmp_path, modules("events"))
    assert "binding in-a has no listener in this application; " in first.text
    assert "_vendor.Category is marked with replicates('in-a', ...) at " in first.text
    assert second.text == "binding in-b has no listener in this application"


def test_an_input_that_the_application_does_not_have_is_nobodys_to_miss(tmp_path: Path, modules: Modules) -> None:
    app = modules("app")
    (tmp_path / "application.yaml").write_text(CONFIGURATION.replace("    in-a: {destination: a, group: g}\n", ""))
    _, warnings = built(tmp_path, app.other)
    assert warnings == []
