"""Naming an application: mistakes of the name, and mistakes in the user's module."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from streambind.cli.users_code import UserCodeError, load_application
from streambind.errors import ConfigurationError

_numbers = itertools.count()

CONFIGURATION = "spring: {cloud: {stream: {bindings: {in-x: {destination: x, group: g}}}}}\n"


@pytest.fixture
def module(
    folder: Path, configured: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], str]:
    """Writes a module into the working folder; returns its name."""
    monkeypatch.syspath_prepend(str(folder))
    configured(CONFIGURATION)

    def write(text: str) -> str:
        name = f"users_module_{next(_numbers)}"
        (folder / f"{name}.py").write_text(text)
        return name

    return write


APPLICATION = "from streambind import StreamApplication\n"


def test_an_instance_and_a_function_are_taken(module: Callable[[str], str]) -> None:
    name = module(APPLICATION + "stream = StreamApplication('.')\ndef make(): return StreamApplication('.')\n")
    assert load_application(name) is load_application(f"{name}:stream")
    assert load_application(f"{name}:make").configuration.properties.bindings


def test_a_missing_attribute_is_named_with_what_there_is(module: Callable[[str], str]) -> None:
    name = module(APPLICATION + "app = StreamApplication('.')\n")
    with pytest.raises(ConfigurationError, match="has no attribute 'stream'; its applications: app"):
        load_application(name)


def test_an_attribute_that_is_no_application_is_said_to_be(module: Callable[[str], str]) -> None:
    name = module("stream = 42\n")
    with pytest.raises(ConfigurationError, match="is no StreamApplication but int"):
        load_application(f"{name}:stream")


def test_an_error_in_the_module_shows_the_users_lines_only(module: Callable[[str], str]) -> None:
    name = module("import json\ndef deep():\n    return json.loads('{')\nstream = deep()\n")
    with pytest.raises(UserCodeError) as caught:
        load_application(name)
    text = str(caught.value)
    assert text.startswith(f"module {name} cannot be imported\nTraceback")
    assert "in deep" in text
    assert f"{name}.py" in text
    assert "json/decoder.py" not in text
    assert "importlib" not in text
    assert text.splitlines()[-1].startswith("json.decoder.JSONDecodeError")
    assert len(text.splitlines()) < 12


def test_a_missing_module_of_the_users_is_told_from_a_wrong_name(module: Callable[[str], str]) -> None:
    name = module("import no_such_driver\n")
    with pytest.raises(UserCodeError, match="No module named 'no_such_driver'"):
        load_application(name)
    with pytest.raises(ConfigurationError, match="no module 'no_such_driver' here"):
        load_application("no_such_driver:stream")


def test_a_syntax_error_shows_the_line(module: Callable[[str], str]) -> None:
    name = module("x = 1\ny = = 2\n")
    with pytest.raises(UserCodeError, match=r"line 2\n    y = = 2"):
        load_application(name)


def test_a_function_that_raises_shows_its_line(module: Callable[[str], str]) -> None:
    name = module("def make():\n    raise RuntimeError('no settings')\n")
    with pytest.raises(UserCodeError, match=r"raised\n(.|\n)*in make\n(.|\n)*RuntimeError: no settings"):
        load_application(f"{name}:make")


def test_a_module_that_ends_the_process_is_said_to(module: Callable[[str], str]) -> None:
    with pytest.raises(UserCodeError, match="ended the process with exit code 7"):
        load_application(module("import sys\nsys.exit(7)\n"))


def test_a_misconfigured_application_raises_its_findings(module: Callable[[str], str]) -> None:
    name = module(APPLICATION + "stream = StreamApplication('.', overrides={'streambind.nonsense': 1})\n")
    with pytest.raises(ConfigurationError) as caught:
        load_application(name)
    assert any("nonsense" in finding.text for finding in caught.value.findings)
