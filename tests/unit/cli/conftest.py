"""Commands run in the test's own process, in an empty folder."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from streambind.cli import main

Run = Callable[..., Result]


def invoke(command: click.Command, *arguments: str) -> Result:
    """Run a command with both of its streams apart, which older click has to be asked for."""
    apart: dict[str, Any] = (
        {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
    )
    return CliRunner(**apart).invoke(command, arguments)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def streambind(folder: Path) -> Run:
    """`streambind("check", "config")`; an exception that no user should see fails the test."""

    def run(*arguments: object) -> Result:
        result = invoke(main, *map(str, arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def configured(folder: Path) -> Callable[[str], Path]:
    """Writes application.yaml into the working folder."""

    def write(text: str) -> Path:
        file = folder / "application.yaml"
        file.write_text(text, encoding="utf-8")
        return file

    return write
