"""The source document's two files, word for word, as they were written for Spring."""

from __future__ import annotations

from pathlib import Path

import pytest

from streambind.configuration import Origin, load
from tests.unit.configuration.conftest import shown
from tests.unit.configuration.fake_binder import MODELS, FakeBinderProperties

FILES = Path(__file__).parent / "source_document"


@pytest.mark.parametrize(
    ("service", "binding", "group", "line"),
    [
        ("category", "out-categoryChanged", None, 13),
        ("lecture", "in-categoryChanged", "CGR-lecture-categoryChanged", 12),
    ],
)
def test_a_file_of_the_source_document_works(service: str, binding: str, group: str | None, line: int) -> None:
    configuration = load(FILES / service, binder_models=MODELS, environ={"SPRING_PROFILES_ACTIVE": "docker"})

    assert shown(configuration) == []
    configuration.require_valid()
    assert configuration.active_profiles == ("docker",)
    assert list(configuration.properties.bindings) == [binding]
    properties = configuration.properties.bindings[binding]
    assert (properties.destination, properties.content_type) == ("categoryChanged", "application/json")
    assert properties.group == group
    assert configuration.inactive_bindings == {}
    assert configuration.binder_name(binding) == "kafka"
    binder = configuration.binder("kafka").properties
    assert isinstance(binder, FakeBinderProperties)
    assert binder.brokers == ["kafka:9092"]
    place = configuration.origin_of(f"bindings.{binding}")
    assert place == Origin(str(FILES / service / "application.yaml"), line, 9)


@pytest.mark.parametrize(
    ("service", "binding"), [("category", "out-categoryChanged"), ("lecture", "in-categoryChanged")]
)
def test_without_its_profile_a_file_names_what_it_would_bring(service: str, binding: str) -> None:
    configuration = load(FILES / service / "application.yaml", binder_models=MODELS, environ={})

    assert shown(configuration) == []
    assert configuration.active_profiles == ("default",)
    assert configuration.properties.bindings == {}
    assert configuration.inactive_bindings == {binding: ("docker",)}
    assert configuration.origin_of(f"bindings.{binding}") is None


@pytest.mark.parametrize(
    "variable",
    [
        "SPRING_CLOUD_STREAM_BINDINGS_INCATEGORYCHANGED_GROUP",
        "SPRING_CLOUD_STREAM_BINDINGS_IN_CATEGORYCHANGED_GROUP",
        "spring_cloud_stream_bindings_in_categorychanged_group",
        "STREAMBIND_BINDINGS_IN_CATEGORYCHANGED_GROUP",
    ],
)
def test_the_environment_overrides_the_group(variable: str) -> None:
    environ = {"SPRING_PROFILES_ACTIVE": "docker", variable: "other"}
    configuration = load(FILES / "lecture", binder_models=MODELS, environ=environ)

    assert shown(configuration) == []
    assert list(configuration.properties.bindings) == ["in-categoryChanged"]
    assert configuration.properties.bindings["in-categoryChanged"].group == "other"
    assert str(configuration.origin_of("bindings.in-categoryChanged.group")) == f"environment variable {variable}"


def test_a_variable_for_a_binding_of_an_inactive_profile_is_no_mistake() -> None:
    environ = {"SPRING_CLOUD_STREAM_BINDINGS_INCATEGORYCHANGED_GROUP": "other"}
    assert shown(load(FILES / "lecture", binder_models=MODELS, environ=environ)) == []
