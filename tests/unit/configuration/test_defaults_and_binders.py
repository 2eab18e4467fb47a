from __future__ import annotations

import pytest

from streambind.configuration import Configuration
from streambind.errors import ConfigurationError
from tests.unit.configuration.conftest import Configured, shown
from tests.unit.configuration.fake_binder import (
    MODELS,
    FakeBinderProperties,
    FakeConsumerProperties,
    FakeModels,
    FakeProducerProperties,
    StrictBinderProperties,
)


def brokers(configuration: Configuration, name: str) -> list[str]:
    properties = configuration.binder(name).properties
    assert isinstance(properties, FakeBinderProperties)
    return properties.brokers


def consumer(configuration: Configuration, binding: str, name: str = "kafka") -> FakeConsumerProperties:
    properties = configuration.binder(name).consumer(binding)
    assert isinstance(properties, FakeConsumerProperties)
    return properties


def test_defaults_of_all_bindings_are_merged_per_property(configured: Configured) -> None:
    text = """
    spring.cloud.stream:
      default:
        group: all
        contentType: text/plain
        consumer: {maxAttempts: 5, concurrency: 2, retryableExceptions: {a.B: true, a.C: true}}
      bindings:
        in-a:
          group: own
          consumer: {maxAttempts: 7, retryableExceptions: {a.C: false}}
        in-b:
    """
    configuration = configured(text)
    assert shown(configuration) == []
    a, b = configuration.properties.bindings["in-a"], configuration.properties.bindings["in-b"]
    assert (a.group, a.content_type, a.consumer.max_attempts, a.consumer.concurrency) == (
        "own",
        "text/plain",
        7,
        2,
    )
    assert (b.group, b.content_type, b.consumer.max_attempts, b.consumer.concurrency) == (
        "all",
        "text/plain",
        5,
        2,
    )
    assert a.consumer.retryable_exceptions == {"a.B": True, "a.C": False}
    assert b.consumer.retryable_exceptions == {"a.B": True, "a.C": True}


def test_defaults_of_a_binder_are_merged_per_property(configured: Configured) -> None:
    text = """
    spring.cloud.stream:
      bindings: {in-a: {}, in-b: {}, out-a: {}}
      kafka:
        default:
          consumer: {enableDlq: true, configuration: {x.y: 1, z: 2}}
          producer.compressionType: gzip
        bindings.IN-A.consumer: {startOffset: latest, configuration: {z: 3}}
    """
    configuration = configured(text)
    assert shown(configuration) == []
    a, b = consumer(configuration, "in-a"), consumer(configuration, "in-b")
    assert (a.enable_dlq, a.start_offset, a.configuration) == (True, "latest", {"x.y": "1", "z": "3"})
    assert (b.enable_dlq, b.start_offset, b.configuration) == (True, None, {"x.y": "1", "z": "2"})
    assert consumer(configuration, "never-declared") == b
    assert configuration.binder("kafka").producer("out-a") == FakeProducerProperties(compression_type="gzip")
    assert consumer(configuration, "in-a", "memory") == FakeConsumerProperties()


def test_an_empty_value_is_the_default_again(configured: Configured) -> None:
    text = """
    streambind:
      default: {group: all, consumer.maxAttempts: 9}
      bindings.in-a: {group: , consumer: {maxAttempts: "", concurrency: }}
      kafka.binder: {brokers: , requiredAcks: "", configuration: {ssl.endpoint.identification.algorithm: ""}}
    """
    configuration = configured(text)
    assert shown(configuration) == []
    binding = configuration.properties.bindings["in-a"]
    assert (binding.group, binding.consumer.max_attempts, binding.consumer.concurrency) == (None, 3, 1)
    binder = configuration.binder("kafka").properties
    assert binder == FakeBinderProperties(brokers=[], configuration={"ssl.endpoint.identification.algorithm": ""})


CLUSTERS = """
spring:
  kafka.bootstrap-servers: boot
  cloud.stream:
    kafka.binder: {brokers: outer, configuration: {acks.x: 1, y: 1}}
    kafka.bindings.in-a.consumer.enableDlq: true
    binders:
      one:
        type: kafka
        environment.spring.cloud.stream.kafka:
          binder: {brokers: [h1, h2], configuration: {y: 2}}
          default.consumer.startOffset: latest
      two:
        type: Kafka
        inheritEnvironment: false
        defaultCandidate: false
        environment: {spring.kafka.bootstrap-servers: "h3,h4", spring.kafka.client-id: x, other: y}
      kafka:
        environment.streambind.kafka.binder.brokers: h5
    bindings: {in-a: {binder: Two}, in-b: {binder: one}, in-c: {binder: kafka}}
"""


def test_a_cluster_has_its_environment_over_its_type(configured: Configured) -> None:
    configuration = configured(CLUSTERS)
    assert shown(configuration) == []
    assert {n: brokers(configuration, n) for n in ("one", "two", "kafka")} == {
        "one": ["h1", "h2"],
        "two": ["h3", "h4"],
        "kafka": ["h5"],
    }
    one, two = configuration.binder("one"), configuration.binder("two")
    assert (one.name, one.type_name, two.type_name) == ("one", "kafka", "kafka")
    assert isinstance(one.properties, FakeBinderProperties)
    assert one.properties.configuration == {"acks.x": "1", "y": "2"}
    assert isinstance(two.properties, FakeBinderProperties)
    assert two.properties.configuration == {}
    assert consumer(configuration, "in-a", "two").enable_dlq
    assert consumer(configuration, "in-b", "one").start_offset == "latest"
    assert consumer(configuration, "in-b", "two").start_offset is None
    assert [configuration.binder_name(n) for n in ("in-a", "in-b", "in-c")] == ["two", "one", "kafka"]


def test_the_cluster_of_a_variable_is_found(configured: Configured) -> None:
    prefix = "SPRING_CLOUD_STREAM_BINDERS_ONE_ENVIRONMENT_SPRING_CLOUD_STREAM_KAFKA_BINDER_"
    configuration = configured(CLUSTERS, environ={f"{prefix}BROKERS": "h9", f"{prefix}REQUIRED_ACKS": "0"})
    assert shown(configuration) == []
    assert brokers(configuration, "one") == ["h9"]


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("spring.kafka.bootstrap-servers: a,b", {}, ["a", "b"]),
        ("spring.kafka.bootstrapServers: [a, b]", {}, ["a", "b"]),
        ("streambind: {}", {"SPRING_KAFKA_BOOTSTRAPSERVERS": "a"}, ["a"]),
        ("streambind: {}", {"SPRING_KAFKA_BOOTSTRAP_SERVERS": "a"}, ["a"]),
        ("spring.kafka.bootstrap-servers: a\nstreambind.kafka.binder.brokers: b", {}, ["b"]),
        ("streambind: {}", {}, ["localhost"]),
    ],
)
def test_brokers_fall_back_to_those_of_boot(
    configured: Configured, text: str, environ: dict[str, str], expected: list[str]
) -> None:
    configuration = configured(text, environ=environ)
    assert shown(configuration) == []
    assert brokers(configuration, "kafka") == expected
    assert brokers(configuration, "memory") == ["localhost"]


@pytest.mark.parametrize(
    ("text", "binder"),
    [
        ("streambind.bindings.in-a.binder: memory", "memory"),
        ("streambind: {default-binder: memory, bindings.in-a: {}}", "memory"),
        ("streambind: {default-binder: memory, bindings.in-a.binder: KAFKA}", "kafka"),
        ("streambind: {default.binder: memory, bindings.in-a: {}}", "memory"),
        ("streambind: {memory.binder.brokers: x, bindings.in-a: {}}", "memory"),
        ("streambind: {binders.one.type: memory, bindings.in-a: {}}", "one"),
        ("streambind: {binders: {one: {type: memory}, two: {type: kafka, defaultCandidate: off}}}", "one"),
        ("streambind.bindings.in-a: {}", "kafka"),
    ],
)
def test_the_binder_of_a_binding(configured: Configured, text: str, binder: str) -> None:
    configuration = configured(text)
    assert shown(configuration) == []
    assert configuration.binder_name("in-a") == binder
    assert configuration.binder(binder).name == binder


def test_the_only_known_binder_is_taken(configured: Configured) -> None:
    configuration = configured("streambind.bindings.in-a: {}", models={"rocket": FakeModels("rocket")})
    assert configuration.binder_name("in-a") == "rocket"


def test_several_binders_and_no_default_is_an_error(configured: Configured) -> None:
    text = """
    streambind:
      memory.binder.brokers: x
      kafka.binder.brokers: y
      bindings: {in-a: {}, in-b: {binder: kafka}}
    """
    assert shown(configured(text)) == [
        "application.yaml:5:14  error  binding in-a can go to kafka or memory; set"
        " 'spring.cloud.stream.bindings.in-a.binder' or 'spring.cloud.stream.defaultBinder'"
    ]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (
            "streambind.bindings.in-a.binder: kafak",
            "application.yaml:1:26  error  there is no binder 'kafak'; did you mean 'kafka'?",
        ),
        (
            "streambind: {default.binder: rabbit, bindings.in-a: {}}",
            "application.yaml:1:22  error  there is no binder 'rabbit'; known: kafka, memory",
        ),
        (
            "streambind.default-binder: rabbit",
            "application.yaml:1:12  error  there is no binder 'rabbit'; known: kafka, memory",
        ),
        (
            "streambind.binders.one.type: kafak",
            "application.yaml:1:30  error  binder 'one' has no known type 'kafak'; did you mean 'kafka'?",
        ),
        (
            "streambind.binders.rabbit.environment.spring.rabbit.host: x",
            "application.yaml:1:20  error  binder 'rabbit' has no known type 'rabbit'; installed: kafka, memory",
        ),
        (
            "streambind: {bindings.in-a: {}, kafka.bindings.in-aa.consumer.enableDlq: true}",
            "application.yaml:1:63  error  there is no binding 'in-aa' under 'bindings'; did you mean 'in-a'?",
        ),
        (
            "streambind: {bindings.in-a: {}, kafka.bindings.out.consumer.enableDlq: true}",
            "application.yaml:1:61  warning  there is no binding 'out' under 'bindings', so this has no effect",
        ),
    ],
)
def test_names_of_binders_and_bindings_are_checked(configured: Configured, text: str, finding: str) -> None:
    assert shown(configured(text))[:1] == [finding]


def test_a_section_for_an_inactive_binding_is_no_mistake(configured: Configured) -> None:
    text = """
    streambind.kafka.bindings.in-a.consumer.enableDlq: true
    ---
    spring.profiles: a
    streambind.bindings.in-a: {}
    """
    assert shown(configured(text)) == []


def test_no_cluster_is_taken_at_random(configured: Configured) -> None:
    text = "streambind.binders: {one: {type: kafka}, two: {type: kafka}}"
    assert configured(text).binder_name("in-a") == "kafka"


def test_a_binder_that_does_not_exist_raises(configured: Configured) -> None:
    with pytest.raises(ConfigurationError, match="there is no binder 'rabbit'; known: kafka, memory"):
        configured("streambind: {}").binder("rabbit")


def test_a_missing_required_property_is_an_error(configured: Configured) -> None:
    models = {"strict": FakeModels("strict", binder_properties=StrictBinderProperties)}
    configuration = configured("streambind: {instanceCount: 3, strict.binder.port: 2}", models=models)
    assert shown(configuration) == ["error  'strict.binder.address' is missing"]
    assert configuration.properties.instance_count == 3
    with pytest.raises(ConfigurationError):
        configuration.require_valid()
    assert shown(configured("streambind.strict.binder.address: x", models=models)) == []


def test_a_binding_keeps_the_spelling_of_its_first_declaration(configured: Configured) -> None:
    text = """
    streambind.bindings.in-categoryChanged.destination: d
    ---
    streambind.bindings.IN-CATEGORYCHANGED.group: g
    """
    configuration = configured(text)
    assert list(configuration.properties.bindings) == ["in-categoryChanged"]
    assert configuration.properties.bindings["in-categoryChanged"].group == "g"
    assert configuration.find_binding("in-categorychanged") == "in-categoryChanged"
    assert configuration.find_binding("in-other") is None


def test_models_are_those_given(configured: Configured) -> None:
    assert set(configured("streambind: {}").binders) == set(MODELS)
