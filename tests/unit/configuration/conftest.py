"""`configured`: loads YAML texts as an application would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Protocol

import pytest
from hypothesis import settings

from streambind.configuration import BinderModels, Configuration, load
from tests.unit.configuration.fake_binder import MODELS

settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")


class Configured(Protocol):
    def __call__(
        self,
        text: str,
        *,
        environ: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        overrides: Mapping[str, object] | None = None,
        models: Mapping[str, BinderModels] = MODELS,
        **variants: str,
    ) -> Configuration: ...


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configured:
    """Writes `application.yaml`, and `application-<profile>.yaml` for keywords, and loads the folder; places are
    relative to it."""
    monkeypatch.chdir(tmp_path)

    def load_text(
        text: str,
        *,
        environ: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        overrides: Mapping[str, object] | None = None,
        models: Mapping[str, BinderModels] = MODELS,
        **variants: str,
    ) -> Configuration:
        Path("application.yaml").write_text(dedent(text), encoding="utf-8")
        for profile, variant in variants.items():
            Path(f"application-{profile}.yaml").write_text(dedent(variant), encoding="utf-8")
        return load(".", binder_models=models, environ=environ or {}, arguments=arguments, overrides=overrides)

    return load_text


def shown(configuration: Configuration) -> list[str]:
    """The findings as `streambind check` prints them."""
    return [str(finding) for finding in configuration.findings]
