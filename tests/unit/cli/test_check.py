"""`streambind check`: all findings with their places."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run

MISTAKES = """\
spring:
  cloud:
    stream:
      bindings:
        in-categoryChanged:
          destinaton: categoryChanged
          consumer:
            useNativeDecoding: true
          group: g
"""

RIGHT = """\
spring:
  cloud:
    stream:
      kafka:
        binder:
          brokers: ${KAFKA_BROKERS:localhost:9092}
          configuration:
            sasl.password: ${SECRET:geheim}
      bindings:
        in-categoryChanged:
          destination: categoryChanged
          group: g
"""


def test_mistakes_have_aligned_places_and_are_counted(streambind: Run, configured: Callable[[str], Path]) -> None:
    configured(MISTAKES)
    result = streambind("check", "application.yaml")
    error, warning, counts = result.stdout.splitlines()
    assert error.startswith(
        "application.yaml:6:11  error    unknown key 'destinaton' in binding in-categoryChanged"
    )
    assert error.endswith("did you mean 'destination'?")
    assert warning.startswith("application.yaml:8:13  warning  'useNativeDecoding' has no effect here")
    assert counts == "1 error, 1 warning"
    assert result.exit_code == 1


def test_places_of_different_length_are_aligned(streambind: Run, configured: Callable[[str], Path]) -> None:
    configured(RIGHT + "          destinaton: x\n          grup: y\n" + "\n" * 90 + "          binderr: z\n")
    lines = streambind("check").stdout.splitlines()[:3]
    assert len({line.index("error") for line in lines}) == 1


def test_json_is_a_list_of_findings(streambind: Run, configured: Callable[[str], Path]) -> None:
    configured(MISTAKES)
    result = streambind("check", "--json")
    error, warning = json.loads(result.stdout)
    assert set(error) == {"severity", "text", "file", "line", "column"}
    assert (error["severity"], error["file"], error["line"], error["column"]) == (
        "error",
        "application.yaml",
        6,
        11,
    )
    assert (warning["severity"], warning["line"]) == ("warning", 8)
    assert result.exit_code == 1


def test_what_is_right_exits_with_0(streambind: Run, configured: Callable[[str], Path]) -> None:
    configured(RIGHT)
    result = streambind("check")
    assert (result.stdout, result.exit_code) == ("0 errors, 0 warnings\n", 0)


@pytest.mark.parametrize(
    ("old", "new", "place", "says"),
    [
        ("destination: categoryChanged", 'destination: "changed!"', "11:11", "'changed!' is not a topic name"),
        ("group: g", "contentType: application/xml", "12:11", "no converter for contentType 'application/xml'"),
        ("in-categoryChanged", "out-x", "", ""),
        ("group: g\n", "group: g\nstreambind.datasource.url: garbage\n", "13:23", "is not a SQLAlchemy URL"),
        ("group: g\n", "group: g\nstreambind.datasource.url: oracle://a/b\n", "13:23", "not yet in oracle"),
        ("group: g\n", "group: g\nstreambind.datasource.url: foo://a/b\n", "13:23", "is not a SQLAlchemy URL"),
    ],
)
def test_what_no_broker_database_or_converter_could_take_is_found_without_asking(
    streambind: Run, configured: Callable[[str], Path], old: str, new: str, place: str, says: str
) -> None:
    assert old in RIGHT
    configured(RIGHT.replace(old, new))
    result = streambind("check", "--strict")
    assert says in result.stdout
    assert result.stdout.startswith(f"application.yaml:{place}  " if place else "0 errors")
    assert result.exit_code == (1 if place else 0)


def test_patterns_and_lists_are_no_illegal_names(streambind: Run, configured: Callable[[str], Path]) -> None:
    listed = RIGHT.replace("destination: categoryChanged", "destination: a, b")
    configured(listed)
    assert streambind("check").exit_code == 0
    configured(listed.replace("a, b", "category.*"))
    assert streambind("check").exit_code == 1
    pattern = "spring.cloud.stream.kafka.bindings.in-categoryChanged.consumer.destinationIsPattern: true\n"
    configured(listed.replace("a, b", "category.*") + pattern)
    assert streambind("check").exit_code == 0


def test_a_pattern_cannot_have_dead_letters(streambind: Run, configured: Callable[[str], Path]) -> None:
    consumer = "spring.cloud.stream.kafka.bindings.in-categoryChanged.consumer"
    configured(f"{RIGHT}{consumer}: {{destinationIsPattern: true, enableDlq: true}}\n")
    result = streambind("check")
    assert result.exit_code == 1
    assert result.stdout.startswith("application.yaml:10:9  error  ")
    assert "binding in-categoryChanged: enableDlq with destinationIsPattern: " in result.stdout


def test_an_input_without_a_group_remembers_nothing_unless_it_is_said_where_it_begins(
    streambind: Run, configured: Callable[[str], Path]
) -> None:
    anonymous = RIGHT.replace("          group: g\n", "")
    configured(anonymous)
    result = streambind("check", "--strict")
    assert result.exit_code == 1
    assert result.stdout.startswith(
        "application.yaml:10:9  warning  binding in-categoryChanged has no group, so it is anonymous: "
    )
    assert "each start begins at the latest message" in result.stdout
    meant = "spring.cloud.stream.kafka.bindings.in-categoryChanged.consumer.startOffset: latest\n"
    configured(anonymous + meant)
    assert streambind("check", "--strict").exit_code == 0


def test_strict_counts_warnings(streambind: Run, configured: Callable[[str], Path]) -> None:
    configured(RIGHT + "          consumer:\n            useNativeDecoding: true\n")
    assert streambind("check").exit_code == 0
    assert streambind("check", "--strict").exit_code == 1


def test_show_prints_settings_with_origins_and_masks_secrets(
    streambind: Run, configured: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(RIGHT)
    monkeypatch.setenv("SPRING_CLOUD_STREAM_KAFKA_BINDER_BROKERS", "kafka:9092")
    shown = streambind("check", "--show").stdout
    assert "geheim" not in shown
    [brokers] = [line for line in shown.splitlines() if "binder.brokers" in line]
    assert brokers.split(maxsplit=2)[1:] == [
        "kafka:9092",
        "environment variable SPRING_CLOUD_STREAM_KAFKA_BINDER_BROKERS",
    ]
    document = json.loads(streambind("check", "--show", "--json").stdout)
    assert set(document) == {"findings", "entries"}
    assert "geheim" not in json.dumps(document)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("nowhere", "no configuration at nowhere"),
        ("empty", "holds no application.yaml"),
        ("no.such.module:stream", "no module 'no.such.module' here"),
        ("a/b:stream", "'a/b' is no module"),
        (None, "no application.yaml here or in ./config"),
    ],
)
def test_a_wrong_target_is_named(streambind: Run, folder: Path, target: str | None, says: str) -> None:
    (folder / "empty").mkdir()
    result = streambind("check", *([target] if target else []))
    assert says in result.stderr
    assert (result.stdout, result.exit_code) == ("", 1)


@pytest.mark.parametrize("text", ["a: [1, 2", "a: b: c", "\t- x", "- 1\n- 2", "\x00", "a: &x *x"])
def test_malformed_yaml_is_a_finding_with_a_place(
    streambind: Run, configured: Callable[[str], Path], text: str
) -> None:
    configured(text)
    result = streambind("check")
    assert result.stdout.startswith("application.yaml:")
    assert "error" in result.stdout
    assert result.exit_code == 1


def test_values_of_a_file_cannot_steer_the_terminal(streambind: Run, configured: Callable[[str], Path]) -> None:
    configured('spring:\n  cloud:\n    stream:\n      "bind\\e\\aings": 1\n')
    result = streambind("check", "--show")
    assert "\x1b" not in result.stdout + result.stderr
    assert r"bind\x1b\x07ings" in result.stdout


@pytest.mark.parametrize(
    ("producer", "fencing", "warnings"),
    [
        ("{foreignConsumers: true}", "none", 1),
        ("{foreignConsumers: true}", "transactional", 0),
        ("{foreignConsumers: true, publish: direct}", "none", 0),
        ("{}", "none", 0),
    ],
)
def test_foreign_consumers_want_a_fence(
    streambind: Run, configured: Callable[[str], Path], producer: str, fencing: str, warnings: int
) -> None:
    configured(
        f"spring.cloud.stream.bindings.out-a: {{destination: a, producer: {producer}}}\n"
        f"streambind.outbox.fencing: {fencing}\n"
    )
    result = streambind("check")
    assert result.exit_code == 0
    assert result.stdout.count("set streambind.outbox.fencing: transactional") == warnings
