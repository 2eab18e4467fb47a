from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambind.configuration.environment import Declared, read_environment
from streambind.configuration.shape import Group, Leaf, Member, environment
from tests.unit.configuration.conftest import Configured, shown
from tests.unit.configuration.fake_binder import MODELS, FakeBinderProperties, FakeConsumerProperties

FILE = """
spring.cloud.stream:
  kafka:
    binder:
      brokers: [a, b]
      configuration: {max.poll.records: 1}
    bindings.in-a.consumer.enableDlq: true
  bindings:
    in-a: {group: g}
    in-aGroup: {}
"""
NOTHING = Declared({}, lambda path: ())
ROOT = environment(MODELS.values())


def binder(configured: Configured, **environ: str) -> FakeBinderProperties:
    configuration = configured(FILE, environ=environ)
    assert shown(configuration) == []
    properties = configuration.binder("kafka").properties
    assert isinstance(properties, FakeBinderProperties)
    return properties


@pytest.mark.parametrize("prefix", ["SPRING_CLOUD_STREAM_", "STREAMBIND_", "spring_cloud_stream_", "streambind_"])
@pytest.mark.parametrize("key", ["INSTANCECOUNT", "INSTANCE_COUNT"])
def test_a_property_is_overridden_in_both_spellings(configured: Configured, prefix: str, key: str) -> None:
    variable = prefix + (key if prefix.isupper() else key.lower())
    configuration = configured(FILE, environ={variable: "5"})
    assert shown(configuration) == []
    assert configuration.properties.instance_count == 5


def test_nothing_needs_to_be_declared_for_a_property_of_the_schema(configured: Configured) -> None:
    assert binder(configured, SPRING_CLOUD_STREAM_KAFKA_BINDER_REQUIREDACKS="1").required_acks == "1"


def test_a_list_is_replaced_by_text_or_by_indices(configured: Configured) -> None:
    name = "SPRING_CLOUD_STREAM_KAFKA_BINDER_BROKERS"
    assert binder(configured, **{name: "c, d,e"}).brokers == ["c", "d", "e"]
    assert binder(configured, **{f"{name}_0": "c"}).brokers == ["c"]
    assert binder(configured, **{f"{name}_0": "c", f"{name}_1": "d"}).brokers == ["c", "d"]


def test_the_index_of_a_list_may_end_in_an_underscore(configured: Configured) -> None:
    assert binder(configured, SPRING_CLOUD_STREAM_KAFKA_BINDER_BROKERS_0_="c").brokers == ["c"]


def test_an_entry_of_a_map_is_found_or_made(configured: Configured) -> None:
    name = "SPRING_CLOUD_STREAM_KAFKA_BINDER_CONFIGURATION_"
    made = binder(configured, **{f"{name}MAX_POLL_RECORDS": "2", f"{name}SECURITY_PROTOCOL": "SSL"})
    assert made.configuration == {"max.poll.records": "2", "security.protocol": "SSL"}


def test_the_binding_of_a_binder_is_found(configured: Configured) -> None:
    variable = "SPRING_CLOUD_STREAM_KAFKA_BINDINGS_INA_CONSUMER_STARTOFFSET"
    configuration = configured(FILE, environ={variable: "latest"})
    assert shown(configuration) == []
    consumer = configuration.binder("kafka").consumer("in-a")
    assert isinstance(consumer, FakeConsumerProperties)
    assert (consumer.start_offset, consumer.enable_dlq) == ("latest", True)


def test_of_two_spellings_the_first_of_spring_wins(configured: Configured) -> None:
    names = ["BINDINGS_INA_DESTINATION", "BINDINGS_IN_A_DESTINATION"]
    names = [f"STREAMBIND_{name}" for name in names]
    names += [name.lower() for name in names]
    for i in range(len(names)):
        environ = {name: name for name in names[i:]}
        assert configured(FILE, environ=environ).properties.bindings["in-a"].destination == names[i]


def test_a_name_that_begins_another_is_kept_apart(configured: Configured) -> None:
    environ = {"STREAMBIND_BINDINGS_IN_A_GROUP": "a", "STREAMBIND_BINDINGS_IN_A_GROUP_GROUP": "b"}
    configuration = configured(FILE, environ=environ)
    assert shown(configuration) == []
    assert configuration.properties.bindings["in-a"].group == "a"
    assert configuration.properties.bindings["in-aGroup"].group == "b"


def test_a_variable_with_two_meanings_is_an_error() -> None:
    left = Group().with_members([Member("bc", Leaf())])
    right = Group().with_members([Member("c", Leaf())])
    ours = Group().with_members([Member("a", left), Member("ab", right)])
    root = Group(open=True).with_members([Member("streambind", ours)])
    flat, findings = read_environment({"STREAMBIND_A_B_C": "1"}, root, NOTHING, inactive=NOTHING)
    assert flat.values == {}
    assert [f.text for f in findings] == ["ambiguous: it can mean 'streambind.a.bc' or 'streambind.ab.c'"]


def test_variables_that_name_nothing_are_warnings_with_a_hint(configured: Configured) -> None:
    environ = {
        "SPRING_CLOUD_STREAM_BINDINGS_INB_GROUP": "x",
        "SPRING_CLOUD_STREAM_BINDINGS_IN_A_DESTINATON": "x",
        "STREAMBIND_OUTBOX_BATCH_SIZES": "1",
        "STREAMBIND_NOVEL": "secret-value",
        "STREAMBIND_FAILPOINTS": "x",
        "STREAMBIND_TEST_KAFKA": "localhost:9092",
        "STREAMBIND_TEST_POSTGRES": "postgresql+psycopg://localhost/postgres",
        "SPRING_DATASOURCE_URL": "left alone",
        "SPRINGBOARD": "left alone",
        "PATH": "/bin",
    }
    assert shown(configured(FILE, environ=environ)) == [
        "environment variable SPRING_CLOUD_STREAM_BINDINGS_INB_GROUP  warning  names no property; did you mean"
        " 'SPRING_CLOUD_STREAM_BINDINGS_INA_GROUP'?",
        "environment variable SPRING_CLOUD_STREAM_BINDINGS_IN_A_DESTINATON  warning  names no property; did you"
        " mean 'SPRING_CLOUD_STREAM_BINDINGS_IN_A_DESTINATION'?",
        "environment variable STREAMBIND_NOVEL  warning  names no property; a variable can only override a name"
        " declared elsewhere",
        "environment variable STREAMBIND_OUTBOX_BATCH_SIZES  warning  names no property; did you mean"
        " 'STREAMBIND_OUTBOX_BATCH_SIZE'?",
    ]


def test_sources_of_spring_that_are_not_read_are_said(configured: Configured) -> None:
    environ = {"SPRING_APPLICATION_JSON": "{}", "SPRING_CONFIG_LOCATION": "/etc/x/", "SPRING_CONFIG_IMPORT": ""}
    assert shown(configured(FILE, environ=environ)) == [
        f"environment variable {variable}  warning  is not read; write the properties to the file, or as variables"
        " or arguments of their own"
        for variable in ("SPRING_APPLICATION_JSON", "SPRING_CONFIG_LOCATION")
    ]


def test_one_property_under_both_roots_is_an_error(configured: Configured) -> None:
    environ = {"STREAMBIND_INSTANCECOUNT": "1", "SPRING_CLOUD_STREAM_INSTANCE_COUNT": "2"}
    (finding,) = configured(FILE, environ=environ).findings
    assert finding.text == (
        "'streambind.instanceCount' is set as 'spring.cloud.stream.instanceCount' too, at environment variable"
        " SPRING_CLOUD_STREAM_INSTANCE_COUNT; keep one of the two"
    )
    arguments = ["--streambind.instanceCount=1", "--spring.cloud.stream.instance-count=2"]
    (finding,) = configured(FILE, arguments=arguments).findings
    assert "keep one of the two" in finding.text


NAMES = st.from_regex(r"(SPRING_CLOUD_STREAM|STREAMBIND|spring)(_[A-Z0-9]{0,12}){0,6}", fullmatch=True)


@given(st.dictionaries(NAMES, st.text(max_size=5), max_size=4))
def test_any_variables_are_values_or_findings(environ: dict[str, str]) -> None:
    flat, findings = read_environment(environ, ROOT, NOTHING, inactive=NOTHING)
    assert len(flat.values) + len(findings) <= len(environ)
