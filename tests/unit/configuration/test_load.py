from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from streambind import configuration as api
from streambind.configuration import Entry, Finding, Origin, Severity, load
from streambind.errors import ConfigurationError
from tests.unit.configuration.conftest import Configured, shown
from tests.unit.configuration.fake_binder import MODELS

KEY = "streambind.bindings.in-a.group"


def test_what_is_exported_is_there_and_sorted() -> None:
    assert sorted(api.__all__) == api.__all__
    assert all(hasattr(api, name) for name in api.__all__)


@pytest.mark.parametrize(
    ("environ", "arguments", "overrides", "group", "origin"),
    [
        ({}, [], {}, "file", "application.yaml:2:3"),
        (
            {"STREAMBIND_BINDINGS_INA_GROUP": "env"},
            [],
            {},
            "env",
            "environment variable STREAMBIND_BINDINGS_INA_GROUP",
        ),
        ({"STREAMBIND_BINDINGS_INA_GROUP": "env"}, [f"--{KEY}=arg"], {}, "arg", "command line"),
        ({"STREAMBIND_BINDINGS_INA_GROUP": "env"}, [f"--{KEY}=arg"], {KEY: "code"}, "code", "code"),
        ({}, ["--spring.cloud.stream.bindings.IN_A.group=arg"], {}, "arg", "command line"),
        ({}, [f"--{KEY}="], {}, None, "command line"),
    ],
)
def test_later_sources_win(
    configured: Configured,
    environ: dict[str, str],
    arguments: list[str],
    overrides: dict[str, object],
    group: str | None,
    origin: str,
) -> None:
    text = "streambind.bindings.in-a:\n  group: file\n"
    configuration = configured(text, environ=environ, arguments=arguments, overrides=overrides)
    assert shown(configuration) == []
    assert configuration.properties.bindings["in-a"].group == group
    assert str(configuration.origin_of(KEY)) == origin


def test_the_origin_of_a_name_is_its_first_place(configured: Configured) -> None:
    configuration = configured("spring.cloud.stream:\n  bindings:\n    in-a:\n      group: g\n")
    assert configuration.origin_of("bindings.in-a") == Origin("application.yaml", 3, 5)
    assert configuration.origin_of("streambind.bindings.IN-A") == Origin("application.yaml", 3, 5)
    assert configuration.origin_of("spring.cloud.stream.bindings.in-a.group") == Origin("application.yaml", 4, 7)
    assert configuration.origin_of("bindings.in-b") is None
    assert configuration.origin_of("") is None


def test_entries_are_what_is_configured_with_secrets_masked(configured: Configured) -> None:
    text = """
    spring.kafka.bootstrap-servers: h
    server.port: 1
    streambind:
      datasource.url: ${URL}
      bindings.in-a: {group: "${G:g}", destination: }
      bindings.in-b:
      kafka.binder.configuration.sasl.password: ${P:pw}
      instanceCount: x
    """
    configuration = configured(text, environ={"URL": "x://u:p@h"})
    file = "application.yaml"
    assert list(configuration.entries()) == [
        Entry("spring.kafka.bootstrap-servers", "h", Origin(file, 2, 14)),
        Entry("streambind.bindings.in-a.destination", "", Origin(file, 6, 36)),
        Entry("streambind.bindings.in-a.group", "g", Origin(file, 6, 19)),
        Entry("streambind.datasource.url", "******", Origin(file, 5, 14)),
        Entry("streambind.kafka.binder.configuration.sasl.password", "******", Origin(file, 8, 35)),
    ]


def test_require_valid_raises_all_findings_at_once(configured: Configured) -> None:
    configuration = configured("streambind:\n  instanceCount: x\n  source: a\n  outbox.batchSize: y\n")
    with pytest.raises(ConfigurationError) as caught:
        configuration.require_valid()
    assert str(caught.value) == (
        "the configuration has 2 errors\n"
        "  application.yaml:2:18  error  'streambind.instanceCount' takes a whole number, not 'x'\n"
        "  application.yaml:3:3  warning  'source' has no effect here: bindings are declared under `bindings`, and"
        " the code decides their direction\n"
        "  application.yaml:4:21  error  'streambind.outbox.batchSize' takes a whole number, not 'y'"
    )
    assert caught.value.findings == configuration.findings


def test_warnings_alone_are_valid(configured: Configured) -> None:
    configuration = configured("streambind.source: a\n")
    assert [f.severity for f in configuration.findings] == [Severity.WARNING]
    configuration.require_valid()


def test_a_file_that_is_no_yaml_still_gives_a_configuration(configured: Configured) -> None:
    configuration = configured("streambind: {instanceCount: 3}\n---\na: [\n")
    assert configuration.properties.instance_count == 3
    assert [f.severity for f in configuration.findings] == [Severity.ERROR]


def test_empty_and_top_level_lists_are_findings(configured: Configured) -> None:
    assert shown(configured("")) == ["application.yaml:1:1  warning  the file holds no configuration"]
    (finding,) = configured("- a\n").findings
    assert finding == Finding(
        Severity.ERROR,
        "the document is a list; it must be a mapping of names to values",
        Origin("application.yaml", 1, 1),
    )


def test_no_binder_is_needed_to_read(configured: Configured) -> None:
    configuration = configured("streambind.bindings.in-a: {}", models={})
    assert configuration.binder_name("in-a") == "kafka"
    assert shown(configuration) == []


WORDS = """
spring cloud stream streambind bindings in-a in-A inA default consumer producer binder binders kafka environment
brokers configuration group destination maxAttempts enableDlq profiles active config activate on-profile type
function poller replicas datasource url instance-count [0] [a.b] spring.cloud.stream spring.profiles x
"""
NAMES = st.sampled_from(WORDS.split())
VALUES = st.one_of(
    st.sampled_from(["", "a", "1", "${x:y}", "${a", "true", "a,b", "kafka", "${streambind.instance-count}", "5s"]),
    st.integers(),
    st.booleans(),
    st.none(),
)
TREES = st.recursive(
    VALUES,
    lambda inner: st.dictionaries(NAMES, inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=15,
)


@settings(max_examples=50)
@given(st.dictionaries(NAMES, TREES, max_size=4), st.dictionaries(NAMES, TREES, max_size=3))
def test_any_configuration_is_read(tree: dict[str, object], overrides: dict[str, object]) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder, "application.yaml")
        file.write_text(yaml.safe_dump_all([tree, {"streambind": tree}]), encoding="utf-8")
        configuration = load(file, binder_models=MODELS, environ={"STREAMBIND_X": "1"}, overrides=overrides)
        again = load(file, binder_models=MODELS, environ={"STREAMBIND_X": "1"}, overrides=overrides)
    assert configuration.findings == again.findings
    assert configuration.properties == again.properties
    assert all(str(finding) for finding in configuration.findings)
    for name in configuration.properties.bindings:
        binder = configuration.binder_name(name)
        assert binder in configuration.binders or any(binder in f.text for f in configuration.findings)


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_any_bytes_are_read(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        Path(folder, "application.yaml").write_bytes(content)
        configuration = load(folder, binder_models=MODELS, environ={})
    assert configuration.findings or configuration.entries() is not None


@settings(max_examples=50)
@given(st.lists(st.text(max_size=30), max_size=3))
def test_any_arguments_are_read(arguments: list[str]) -> None:
    with TemporaryDirectory() as folder:
        Path(folder, "application.yaml").write_text("streambind: {}")
        load(folder, binder_models=MODELS, environ={}, arguments=[f"--{a}" for a in arguments])
