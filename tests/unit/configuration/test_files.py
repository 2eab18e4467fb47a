from __future__ import annotations

import os
from pathlib import Path

import pytest

from streambind.configuration import load
from streambind.errors import ConfigurationError
from tests.unit.configuration.conftest import shown
from tests.unit.configuration.fake_binder import MODELS


def test_a_location_without_configuration_raises(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such file or folder"):
        load(tmp_path / "missing", binder_models=MODELS, environ={})
    (tmp_path / "other.yaml").write_text("a: 1")
    with pytest.raises(ConfigurationError, match=r"it holds no application\.yaml"):
        load(tmp_path, binder_models=MODELS, environ={})


@pytest.mark.parametrize("name", ["application.yaml", "application.yml"])
def test_both_endings_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("streambind.instanceCount: 2")
    assert load(str(tmp_path), binder_models=MODELS, environ={}).properties.instance_count == 2


def test_a_file_may_have_any_name_and_variants_of_it(tmp_path: Path) -> None:
    (tmp_path / "lecture.yaml").write_text("streambind.instanceCount: 2")
    (tmp_path / "lecture-docker.yml").write_text("streambind.instanceCount: 3")
    (tmp_path / "lectures.yaml").write_text("streambind.nonsense: 3")
    (tmp_path / "application.yaml").write_text("streambind.nonsense: 3")
    environ = {"SPRING_PROFILES_ACTIVE": "docker"}
    configuration = load(tmp_path / "lecture.yaml", binder_models=MODELS, environ=environ)
    assert shown(configuration) == []
    assert configuration.properties.instance_count == 3


def test_two_files_of_one_meaning_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "application.yaml").write_text("streambind.instanceCount: 2")
    (tmp_path / "application.yml").write_text("streambind.instanceCount: 3")
    assert [f.text for f in load(tmp_path, binder_models=MODELS, environ={}).findings] == [
        "'application.yml' stands beside 'application.yaml'; keep one of the two"
    ]


def test_a_properties_file_is_not_overlooked(tmp_path: Path) -> None:
    (tmp_path / "application.yaml").write_text("streambind: {}")
    (tmp_path / "application.properties").write_text("x=1")
    assert shown(load(tmp_path, binder_models=MODELS, environ={})) == [
        f"{tmp_path}/application.properties  warning  'application.properties' is not read; streambind reads YAML"
    ]


def test_a_file_of_a_profile_is_enough(tmp_path: Path) -> None:
    (tmp_path / "application-a.yaml").write_text("streambind.instanceCount: 2")
    environ = {"SPRING_PROFILES_ACTIVE": "a"}
    assert load(tmp_path, binder_models=MODELS, environ=environ).properties.instance_count == 2


def test_a_file_that_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "application.yaml").mkdir()
    assert shown(load(tmp_path, binder_models=MODELS, environ={})) == [
        f"{tmp_path}/application.yaml  error  cannot be read: Is a directory"
    ]


def test_a_pipe_is_not_read_without_end(tmp_path: Path) -> None:
    if os.path.exists("/dev/zero"):
        (tmp_path / "application.yaml").symlink_to("/dev/zero")
        (finding,) = load(tmp_path, binder_models=MODELS, environ={}).findings
        assert "more than 1048576 bytes" in finding.text


def test_the_process_environment_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "application.yaml").write_text("streambind.instanceCount: 2")
    monkeypatch.setenv("STREAMBIND_INSTANCE_COUNT", "9")
    assert load(tmp_path, binder_models=MODELS).properties.instance_count == 9
    assert load(tmp_path, binder_models=MODELS, environ={}).properties.instance_count == 2
