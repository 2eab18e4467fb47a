from __future__ import annotations

import pytest

from streambind.configuration import Severity
from streambind.configuration.unknown_keys import MOST
from tests.unit.configuration.conftest import Configured, shown
from tests.unit.configuration.fake_binder import FakeModels

IN_A = "streambind.bindings.in-a"


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (
            f"{IN_A}.destinaton: x",
            "1:26  error  unknown key 'destinaton' in binding in-a; did you mean 'destination'?",
        ),
        (
            f"{IN_A}.zzz: x",
            "1:26  error  unknown key 'zzz' in binding in-a",
        ),
        (
            f"{IN_A}.maxAttempts: 2",
            "1:26  error  unknown key 'maxAttempts' in binding in-a;"
            " it belongs under 'streambind.bindings.in-a.consumer'",
        ),
        (
            f"{IN_A}.consumer.enable-dlq: true",
            "1:35  error  unknown key 'enable-dlq' in consumer of binding in-a;"
            " it belongs under 'streambind.kafka.bindings.in-a.consumer'",
        ),
        (
            f"{IN_A}.consumer.configuration.x: 1",
            "1:35  error  unknown key 'configuration' in consumer of binding in-a;"
            " it belongs under 'streambind.kafka.bindings.in-a.consumer'",
        ),
        (
            f"{IN_A}.brokers: x",
            "1:26  error  unknown key 'brokers' in binding in-a; it belongs under 'streambind.kafka.binder'",
        ),
        (
            "spring.cloud.stream.kafka.default.consumer.maxAttempts: 2",
            "1:44  error  unknown key 'maxAttempts'"
            " in 'spring.cloud.stream.kafka.default.consumer';"
            " it belongs under 'spring.cloud.stream.bindings.<name>.consumer'",
        ),
        (
            "streambind.kafka.bindings.in-a.producer.partitionCount: 2",
            "1:41  error  unknown key 'partitionCount'"
            " in kafka producer of binding in-a;"
            " it belongs under 'streambind.bindings.in-a.producer'",
        ),
        (
            "streambind.kafka.bindings.in-a.enableDlq: 2",
            "1:32  error  unknown key 'enableDlq'"
            " in kafka of binding in-a;"
            " it belongs under 'streambind.kafka.bindings.in-a.consumer'",
        ),
        (
            "streambind.bindngs.in-a.group: x",
            "1:12  error  unknown key 'bindngs' in 'streambind'; did you mean 'bindings'?",
        ),
        (
            "streambind.rabbit.binder.x: 1",
            "1:12  error  unknown key 'rabbit' in 'streambind'; no such binder is installed, only kafka, memory",
        ),
        (
            "streambind.kafka.streams.binder.x: 1",
            "1:18  error  unknown key 'streams' in 'streambind.kafka'",
        ),
        (
            f"{IN_A}.destination.x: 1",
            "1:26  error  'destination' takes a single value, not a mapping",
        ),
        (
            f"{IN_A}.destination: [a, b]",
            "1:26  error  'destination' takes a single value, not a list; write several with commas",
        ),
        (
            f"{IN_A}: word",
            "1:27  error  'streambind.bindings.in-a' takes a mapping of names to values, not a single value",
        ),
        (
            "streambind.bindings: [a]",
            "1:12  error  'streambind.bindings' takes a mapping of names to values, not a list",
        ),
        (
            f"{IN_A}.consumer: [a]",
            "1:26  error  consumer of binding in-a takes a mapping of names to values, not a list",
        ),
        (
            "streambind.bindings: {in a: {group: x}}",
            "1:23  error  'in a' as a name: Spring drops ' ' from it; write \"[in a]\"",
        ),
        (
            "streambind.bindings.a.b.group: x",
            "1:23  error  unknown key 'b' in binding a",
        ),
        (
            "streambind.kafka.binder.brokers: {a: b}",
            "1:25  error  'brokers' takes a list, not a mapping",
        ),
        (
            "spring.cloud.steam.x: 1",
            "1:14  error  'spring.cloud.steam' is not read; did you mean 'spring.cloud.stream'?",
        ),
        (
            "spring.clod.stream.x: 1",
            "1:13  error  'spring.clod.stream' is not read; did you mean 'spring.cloud.stream'?",
        ),
        (
            "sprig.cloud.stream.x: 1",
            "1:13  error  'sprig.cloud.stream' is not read; did you mean 'spring.cloud.stream'?",
        ),
        (
            "cloud.stream.bindings.x.group: 1",
            "1:7  error  'cloud.stream' is not read; did you mean 'spring.cloud.stream'?",
        ),
        (
            "spring.stream.bindings.x.group: 1",
            "1:8  error  'spring.stream' is not read; did you mean 'spring.cloud.stream'?",
        ),
        (
            "streambnd.x: 1",
            "1:1  error  'streambnd' is not read; did you mean 'streambind'?",
        ),
    ],
)
def test_a_key_in_the_wrong_place_is_an_error(configured: Configured, text: str, finding: str) -> None:
    assert shown(configured(text))[:1] == [f"application.yaml:{finding}"]


@pytest.mark.parametrize(
    "text",
    [
        "server.port: 8080",
        "spring.jpa.show-sql: true",
        "spring.cloud.function.definition: x",
        "spring.cloud.config.enabled: false",
        "spring.kafka.consumer.group-id: x",
        "management: {endpoints: [a, {b: c}]}",
        "stream: 1",
        'streambind.bindings: {"[in.odd name]": {group: g}}',
        "stream-bind.instance_count: 2",
        "SPRING.CLOUD.STREAM.INSTANCECOUNT: 2",
    ],
)
def test_other_roots_and_relaxed_names_are_left_alone(configured: Configured, text: str) -> None:
    assert shown(configured(text)) == []


def test_all_mistakes_are_found_at_once_in_the_order_of_lines(configured: Configured) -> None:
    text = """
    streambind:
      bindings:
        in-a:
          goup: g
          consumer: {maxAttempts: zero}
      outbox.lease: 1
      nonsense: {a: 1, b: 2}
    ---
    streambind.bindings.in-a.gruop: h
    """
    assert [
        (f.origin.line if f.origin else None, f.text.partition(";")[0]) for f in configured(text).findings
    ] == [
        (5, "unknown key 'goup' in binding in-a"),
        (6, "'streambind.bindings.in-a.consumer.maxAttempts' takes a whole number, not 'zero'"),
        (7, "'streambind.outbox.lease' takes 1000 or more, not '1'"),
        (8, "unknown key 'nonsense' in 'streambind'"),
        (10, "unknown key 'gruop' in binding in-a"),
    ]


def test_a_mistake_in_an_inactive_document_is_a_warning(configured: Configured) -> None:
    text = "streambind.bindings.in-a: {}\n---\nspring.profiles: prod\nstreambind.bindings.in-a.goup: g\n"
    assert shown(configured(text)) == [
        "application.yaml:4:26  warning  unknown key 'goup' in binding in-a; did you mean 'group'?"
    ]


def test_a_mistake_in_arguments_and_code_has_no_line(configured: Configured) -> None:
    arguments, overrides = ["--streambind.instanceCuont=1"], {"streambind": {"outbox": {"leese": 1}}}
    assert shown(configured("streambind: {}", arguments=arguments, overrides=overrides)) == [
        "command line  error  unknown key 'instanceCuont' in 'streambind'; did you mean 'instanceCount'?",
        "code  error  unknown key 'leese' in 'streambind.outbox'; did you mean 'lease'?",
    ]


def test_the_same_key_under_both_roots_is_an_error(configured: Configured) -> None:
    text = "spring.cloud.stream.instance-count: 1\n---\nstreambind.instanceCount: 2\n"
    assert shown(configured(text)) == [
        "application.yaml:3:12  error  'streambind.instanceCount' is set as 'spring.cloud.stream.instance-count'"
        " too, at application.yaml:1:21; keep one of the two"
    ]


def test_the_roots_may_be_mixed_for_different_keys_and_sources(configured: Configured) -> None:
    text = "spring.cloud.stream.bindings.in-a.group: g\nstreambind.bindings.in-a.destination: d\n"
    configuration = configured(text, arguments=["--streambind.bindings.in-a.group=h"])
    assert shown(configuration) == []
    assert configuration.properties.bindings["in-a"].group == "h"
    assert configuration.properties.bindings["in-a"].destination == "d"


def test_the_misplaced_key_is_sent_to_the_binder_that_is_used(configured: Configured) -> None:
    text = """
    streambind.rocket.binder.brokers: x
    streambind.bindings.in-a: {consumer.enableDlq: true, requiredAcks: 1}
    """
    models = {name: FakeModels(name) for name in ("kafka", "rocket")}
    one, other = configured(text, models=models).findings
    assert one.text.endswith("it belongs under 'streambind.rocket.bindings.in-a.consumer'")
    assert other.text.endswith("it belongs under 'streambind.rocket.binder'")


def test_very_many_mistakes_are_cut_short(configured: Configured) -> None:
    text = "\n".join(f"streambind.nonsense{i}: 1" for i in range(3000))
    findings = configured(text).findings
    assert len(findings) == MOST + 1
    assert findings[-1].text == "more than 100 unknown keys; the rest is not listed"
    assert all(f.severity is Severity.ERROR for f in findings)
