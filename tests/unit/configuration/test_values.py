from __future__ import annotations

import pytest
from pydantic import SecretStr

from streambind.configuration import Severity
from streambind.errors import ConfigurationError
from tests.unit.configuration.conftest import Configured, shown
from tests.unit.configuration.fake_binder import FakeBinderProperties

IN_A = "streambind.bindings.in-a"


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (f"{IN_A}.consumer.maxAttempts: zero", f"'{IN_A}.consumer.maxAttempts' takes a whole number, not 'zero'"),
        (f"{IN_A}.consumer.maxAttempts: 1.5", f"'{IN_A}.consumer.maxAttempts' takes a whole number, not '1.5'"),
        (f"{IN_A}.consumer.maxAttempts: 0", f"'{IN_A}.consumer.maxAttempts' takes 1 or more, not '0'"),
        (f"{IN_A}.consumer.backOffMultiplier: x", f"'{IN_A}.consumer.backOffMultiplier' takes a number, not 'x'"),
        (f"{IN_A}.consumer.autoStartup: maybe", f"'{IN_A}.consumer.autoStartup' takes true or false, not 'maybe'"),
        (
            f"{IN_A}.consumer.backOffInitialInterval: 3 weeks",
            f"'{IN_A}.consumer.backOffInitialInterval' cannot be '3 weeks': write a duration as 500 or 10s or"
            " PT10S",
        ),
        (
            f"{IN_A}.producer.publish: aftercomit",
            f"'{IN_A}.producer.publish' takes one of outbox, after-commit, direct, not 'aftercomit'; did you mean"
            " 'after-commit'?",
        ),
        (f"{IN_A}.consumer.sequence: x", f"'{IN_A}.consumer.sequence' takes one of trust, ignore, not 'x'"),
        (
            "streambind.events.timeZone: Mars/Base",
            "'streambind.events.timeZone' cannot be 'Mars/Base': there is no such time zone; write one like"
            " Asia/Seoul",
        ),
        (
            f"{IN_A}.consumer.retryableExceptions.a.B: x",
            f"'{IN_A}.consumer.retryableExceptions.a.B' takes true or false, not 'x'",
        ),
        (
            "streambind.kafka.binder.replicas.1: x",
            "'streambind.kafka.binder.replicas.1' takes a whole number, not 'x'",
        ),
        (
            "streambind.kafka.binder.configuration.forbidden: x",
            "'streambind.kafka.binder.configuration.forbidden' cannot be 'x': forbidden is x",
        ),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_an_error_and_the_default_is_taken(
    configured: Configured, text: str, finding: str
) -> None:
    configuration = configured(text)
    assert [f.text for f in configuration.findings] == [finding]
    assert configuration.findings[0].severity is Severity.ERROR
    origin = configuration.findings[0].origin
    assert origin is not None
    assert (origin.line, origin.column) == (1, text.index(": ") + 3)
    assert configuration.properties.instance_count == 1


def test_a_key_that_does_not_fit_is_an_error_without_its_value(configured: Configured) -> None:
    assert shown(configured("streambind.kafka.binder.replicas.a: hunter2"))[:1] == [
        "application.yaml:1:34  error  'streambind.kafka.binder.replicas.a': Input should be a valid integer,"
        " unable to parse string as an integer"
    ]


def test_values_that_fit_are_kept_beside_those_that_do_not(configured: Configured) -> None:
    text = "streambind.bindings.in-a: {group: g, consumer: {maxAttempts: x, concurrency: 4}}"
    consumer = configured(text).properties.bindings["in-a"].consumer
    assert (consumer.max_attempts, consumer.concurrency) == (3, 4)


def test_a_wrong_default_is_one_finding(configured: Configured) -> None:
    text = "streambind: {default.consumer.maxAttempts: x, bindings: {in-a: {}, in-b: {}}}"
    assert [f.text for f in configured(text).findings] == [
        "'streambind.default.consumer.maxAttempts' takes a whole number, not 'x'"
    ]


def test_values_that_do_not_fit_together_are_one_finding(configured: Configured) -> None:
    text = "streambind.kafka.binder:\n  smallest: 20\n  requiredAcks: '1'\n"
    configuration = configured(text)
    assert shown(configuration) == [
        "application.yaml:2:3  error  'streambind.kafka.binder.smallest', 'streambind.kafka.binder.requiredAcks'"
        " do not fit together: smallest is larger than largest"
    ]
    assert configuration.binder("kafka").properties == FakeBinderProperties()


@pytest.mark.parametrize("text", ["after-commit", "AFTER_COMMIT", "afterCommit", "${WHAT:after_commit}"])
def test_options_are_compared_relaxed(configured: Configured, text: str) -> None:
    configuration = configured(f"{IN_A}.producer.publish: {text}")
    assert shown(configuration) == []
    assert configuration.properties.bindings["in-a"].producer.publish.value == "after-commit"


@pytest.mark.parametrize("text", ["yes", "on", "TRUE", "1"])
def test_true_is_written_as_in_spring(configured: Configured, text: str) -> None:
    outbox = configured(f"streambind: {{bindings: {{in-a: {{}}}}, outbox.relay: {text}}}").properties.outbox
    assert outbox.relay is True


def test_what_has_no_effect_is_said_once_with_the_reason(configured: Configured) -> None:
    text = """
    streambind:
      bindings:
        in-a.consumer: {useNativeDecoding: true, multiplex: false, instanceIndex: -1, headerMode: headers}
        out-a.producer: {poller: {fixedDelay: 5, cron: x}, requiredGroups: [a, b]}
      kafka.bindings.in-a.consumer.ackMode: MANUAL
      kafka.bindings.out-a.producer.sync: false
      function: {definition: a;b, bindings: {x-in-0: in-a}}
    """
    assert shown(configured(text)) == [
        "application.yaml:4:21  warning  'useNativeDecoding' has no effect here: payloads are decoded and encoded"
        " by content type",
        "application.yaml:5:22  warning  'poller' has no effect here: there are no function beans; listeners and"
        " publishers name their binding",
        "application.yaml:5:56  warning  'requiredGroups' has no effect here: a group begins at the earliest"
        " message, so none is lost before it exists",
        "application.yaml:6:32  warning  'ackMode' has no effect here: a returned handler is done",
        "application.yaml:8:3  warning  'function' has no effect here: there are no function beans; listeners and"
        " publishers name their binding",
    ]


def test_placeholders_see_the_environment_and_other_properties(configured: Configured) -> None:
    text = """
    demo: {itemPrice: "7", name: "${HOST:nobody}"}
    streambind:
      kafka.binder.brokers: ${KAFKA_BROKERS:localhost:9092}
      instanceCount: ${demo.item-price}
      bindings.in-a: {group: "CGR-${demo.name}", destination: "${streambind.bindings.in-a.group}"}
    """
    configuration = configured(text)
    assert shown(configuration) == []
    assert configuration.binder("kafka").properties == FakeBinderProperties(brokers=["localhost:9092"])
    assert configuration.properties.instance_count == 7
    binding = configuration.properties.bindings["in-a"]
    assert (binding.group, binding.destination) == ("CGR-nobody", "CGR-nobody")

    environ = {"KAFKA_BROKERS": "a:1,b:2", "DEMO_ITEMPRICE": "8", "HOST": "${USER}", "USER": "me"}
    configuration = configured(text, environ=environ, arguments=["--demo.name=${HOST}!"])
    assert configuration.binder("kafka").properties == FakeBinderProperties(brokers=["a:1", "b:2"])
    assert configuration.properties.instance_count == 8
    assert configuration.properties.bindings["in-a"].group == "CGR-me!"


def test_a_placeholder_asks_code_and_arguments_before_the_environment(configured: Configured) -> None:
    text = "demo.name: file\nstreambind.bindings.in-a.group: ${demo.name}\n"
    environ, arguments = {"DEMO_NAME": "env"}, ["--demo.name=arg"]
    assert configured(text, environ=environ).properties.bindings["in-a"].group == "env"
    configuration = configured(text, environ=environ, arguments=arguments)
    assert configuration.properties.bindings["in-a"].group == "arg"
    configuration = configured(text, environ=environ, arguments=arguments, overrides={"demo": {"name": "code"}})
    assert configuration.properties.bindings["in-a"].group == "code"


def test_a_placeholder_without_value_is_an_error_with_a_place(configured: Configured) -> None:
    text = "streambind.bindings.in-a:\n  group: ${GROUP}\n  destination: ${a}\na: ${b}\nb: ${a}\n"
    configuration = configured(text)
    assert shown(configuration) == [
        "application.yaml:2:10  error  nothing has the name of the placeholder ${GROUP}; set it as an environment"
        " variable or property, or write ${GROUP:default}",
        "application.yaml:3:16  error  the placeholder ${a} needs itself: a -> b -> a",
    ]
    assert configuration.properties.bindings["in-a"].group is None


SECRETS = """
streambind:
  datasource.url: postgresql://u:hunter2@h/db
  outbox.lease: ${DB_PASSWORD}
  instanceCount: ${ADDRESS}
  kafka.binder:
    brokers: ["x://u:hunter2@h", "${DB_PASSWORD}"]
    jaasPassword: hunter2
    requiredAcks: ${API_TOKEN}
    configuration:
      sasl.password: ${DB_PASSWORD}
      sasl.jaas.config: org.x.Login required password="hunter2";
      forbidden: ${DB_PASSWORD}
      sasl.pasword: hunter2
    replicas: {"sasl.password": hunter2}
"""
SECRET_ENVIRONMENT = {"DB_PASSWORD": "hunter2", "API_TOKEN": "hunter2", "ADDRESS": "x://u:hunter2@h"}


def test_no_text_shows_a_secret(configured: Configured) -> None:
    configuration = configured(SECRETS, environ=SECRET_ENVIRONMENT)
    texts = [*shown(configuration), repr(configuration.properties), repr(configuration.binder("kafka"))]
    with pytest.raises(ConfigurationError) as caught:
        configuration.require_valid()
    texts += [str(caught.value), repr(caught.value)]
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert not [text for text in texts if "hunter2" in text]
    texts = [entry.shown_value for entry in configuration.entries() if "pasword" not in entry.key]
    assert not [text for text in texts if "hunter2" in text]
    assert "'streambind.outbox.lease' takes" not in "".join(f.text for f in configuration.findings)


def test_secrets_in_files_are_warnings_and_references_are_not(configured: Configured) -> None:
    configuration = configured(SECRETS, environ=SECRET_ENVIRONMENT)
    warnings = [
        f.text.partition("'")[2].partition("'")[0] for f in configuration.findings if f.severity == "warning"
    ]
    assert warnings == [
        "streambind.datasource.url",
        "streambind.kafka.binder.brokers[0]",
        "streambind.kafka.binder.jaasPassword",
        "streambind.kafka.binder.configuration.sasl.jaas.config",
        "streambind.kafka.binder.replicas.sasl.password",
    ]


def test_secrets_that_do_not_stand_in_files_are_no_warnings(configured: Configured) -> None:
    key = "streambind.kafka.binder.configuration.sasl.password"
    environ = {"STREAMBIND_DATASOURCE_URL": "x://u:p@h"}
    configuration = configured(
        "streambind: {}", environ=environ, arguments=[f"--{key}=a"], overrides={f"{key}2": "b"}
    )
    assert shown(configuration) == []


def test_a_name_does_not_make_other_values_secret(configured: Configured) -> None:
    configuration = configured("streambind.bindings.in-tokenIssued.destination: tokenIssued")
    assert [(e.key, e.shown_value) for e in configuration.entries()] == [
        ("streambind.bindings.in-tokenIssued.destination", "tokenIssued")
    ]


def test_secrets_arrive_where_they_are_needed(configured: Configured) -> None:
    text = "streambind: {datasource.url: '${URL}', kafka.binder.configuration.sasl.password: '${P}'}"
    configuration = configured(text, environ={"URL": "sqlite:///a", "P": "hunter2"})
    assert configuration.findings == ()
    url = configuration.properties.datasource.url
    assert url is not None
    assert url.get_secret_value() == "sqlite:///a"
    binder = configuration.binder("kafka").properties
    assert isinstance(binder, FakeBinderProperties)
    assert binder.configuration == {"sasl.password": "hunter2"}


def test_code_may_pass_objects(configured: Configured) -> None:
    overrides = {
        "streambind": {
            "datasource": {"url": SecretStr("sqlite:///a")},
            "kafka": {"binder": {"brokers": ["x", "y"], "configuration": {"linger.ms": 5, "sync": True}}},
            "bindings": {"[in.odd]": {"consumer": {"max_attempts": 2}}},
        },
        "copy": SecretStr("sqlite:///b"),
    }
    configuration = configured("streambind.outbox.relay: false", overrides=overrides)
    assert shown(configuration) == []
    assert configuration.properties.bindings["in.odd"].consumer.max_attempts == 2
    assert configuration.properties.datasource.url == SecretStr("sqlite:///a")
    assert configuration.binder("kafka").properties == FakeBinderProperties(
        brokers=["x", "y"], configuration={"linger.ms": "5", "sync": "true"}
    )


def test_a_list_with_gaps_is_an_error(configured: Configured) -> None:
    arguments = ["--streambind.kafka.binder.brokers[0]=a", "--streambind.kafka.binder.brokers[2]=c"]
    assert shown(configured("streambind: {}", arguments=arguments)) == [
        "command line  error  the list 'streambind.kafka.binder.brokers' has gaps; its items are numbered from 0"
    ]


def test_a_map_of_lists_takes_both_spellings(configured: Configured) -> None:
    configuration = configured("streambind.kafka.binder.replicas: {0: [1, 2], 1: '2,3'}")
    assert shown(configuration) == []
    assert configuration.binder("kafka").properties == FakeBinderProperties(replicas={0: [1, 2], 1: [2, 3]})
