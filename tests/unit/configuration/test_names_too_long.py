"""Names that are too long to be configuration, from every source, and numbers in YAML that Python refuses."""

from __future__ import annotations

import time

import pytest

from streambind.configuration.names import MAX_SEGMENTS
from streambind.configuration.yaml_documents import read_documents
from tests.unit.configuration.conftest import Configured, shown

LONG = "a" + ".a" * 4000
JUST = "a" + ".a" * (MAX_SEGMENTS - 1)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b'x: y\na: "\\UFFFFFFFF"', "f.yaml:2:7"),
        (b'a: "\\U00110000"', "f.yaml:1:7"),
        (b"%YAML " + b"9" * 5000 + b".1\n---\na: 1", "f.yaml:1:"),
    ],
)
def test_numbers_that_python_refuses_are_findings_with_their_place(content: bytes, place: str) -> None:
    documents, (finding,) = read_documents(content, "f.yaml")
    assert documents == []
    assert str(finding).startswith(place)
    assert "not YAML" in str(finding)


@pytest.mark.parametrize("text", [f"? {LONG}\n: 1", f"a.a:\n  ? {LONG}\n  : 1", f"b: 1\n{'a' + '[0]' * 300}: 1"])
def test_a_name_of_thousands_of_segments_in_a_file_is_refused_at_once(text: str) -> None:
    before = time.process_time()
    (document,), (finding,) = read_documents(text.encode(), "f.yaml")
    assert time.process_time() - before < 2
    assert "segments" in finding.text
    assert finding.origin is not None
    assert finding.origin.line is not None
    assert all(len(place.name) <= MAX_SEGMENTS for place in document.flat.places.values())


def test_the_longest_name_is_taken() -> None:
    (document,), findings = read_documents(f"{JUST}: 1".encode(), "f.yaml")
    assert findings == []
    assert [value.value for value in document.flat.values.values()] == ["1"]


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ({"arguments": [f"--{LONG}=1"]}, "command line"),
        ({"overrides": {LONG: 1}}, "code"),
        (
            {"environ": {"SPRING_CLOUD_STREAM_KAFKA_BINDER_CONFIGURATION" + "_A" * 4000: "1"}},
            "environment variable SPRING_CLOUD_STREAM_KAFKA",
        ),
    ],
)
def test_a_name_of_thousands_of_segments_elsewhere_is_refused(
    source: dict[str, object], place: str, configured: Configured
) -> None:
    before = time.process_time()
    configuration = configured("server.port: 1\nspring.cloud.stream.kafka.binder.brokers: h", **source)  # type: ignore[arg-type]
    assert time.process_time() - before < 5
    (finding,) = [finding for finding in shown(configuration) if "segments" in finding]
    assert finding.startswith(place)


def test_nesting_in_code_is_bounded_too(configured: Configured) -> None:
    nested: object = 1
    for _ in range(500):
        nested = {"a": nested}
    configuration = configured("server.port: 1", overrides={"a": nested})
    assert any("segments" in finding for finding in shown(configuration))
