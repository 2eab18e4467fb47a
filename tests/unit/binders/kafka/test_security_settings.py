"""Java's logins and stores in librdkafka's words; no secret in any message."""

from __future__ import annotations

import pytest

from streambind.binders.kafka.client_settings import consumer_settings
from streambind.binders.kafka.properties import KafkaBinderProperties, KafkaConsumerProperties
from streambind.binders.kafka.security_settings import jaas_settings, parse_jaas, tls_settings
from streambind.errors import ConfigurationError

PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


@pytest.mark.parametrize(
    ("config", "username", "password"),
    [
        (f'{PLAIN} required username="alice" password="s3cret";', "alice", "s3cret"),
        (f"{PLAIN} required username='alice' password='s3cret';", "alice", "s3cret"),
        (f"{PLAIN} required\n  username=alice\n  password=s3cret ;", "alice", "s3cret"),
        (f'{PLAIN} required username="a" password="x=\\"y;z\\"";', "a", 'x="y;z"'),
        (
            'org.apache.kafka.common.security.scram.ScramLoginModule required username="a" password="";',
            "a",
            "",
        ),
    ],
)
def test_a_login_module_names_user_and_password(config: str, username: str, password: str) -> None:
    module, options = parse_jaas(config)
    assert jaas_settings(module, options, "x") == {"sasl.username": username, "sasl.password": password}


def test_kerberos() -> None:
    module, options = parse_jaas(
        'com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true keyTab="/k" principal="p@R";'
    )
    assert jaas_settings(module, options, "x") == {
        "sasl.kerberos.keytab": "/k",
        "sasl.kerberos.principal": "p@R",
    }


@pytest.mark.parametrize(
    ("config", "remedy"),
    [
        ('a.OAuthBearerLoginModule required clientSecret="s3cret";', "sasl.oauthbearer.method"),
        ('a.OtherLoginModule required password="s3cret";', "sasl.username"),
        (f'{PLAIN} required password="s3cret";', "username and password"),
        ("s3cret", "PlainLoginModule"),
    ],
)
def test_what_has_no_equivalent_is_an_error_with_a_remedy(config: str, remedy: str) -> None:
    binder = KafkaBinderProperties.model_validate({"configuration": {"sasl.jaas.config": config}})
    with pytest.raises(ConfigurationError, match=remedy) as raised:
        consumer_settings(binder, KafkaConsumerProperties(), binding="in-x", group="g")
    if config != "s3cret":
        assert "s3cret" not in str(raised.value)


def test_jaas_of_the_binder() -> None:
    binder = KafkaBinderProperties.model_validate(
        {"jaas": {"loginModule": PLAIN, "options": {"username": "u", "password": "p"}}}
    )
    client = consumer_settings(binder, KafkaConsumerProperties(), binding="in-x", group="g").client
    assert (client["sasl.username"], client["sasl.password"]) == ("u", "p")


def test_settings_do_not_show_their_secrets() -> None:
    binder = KafkaBinderProperties.model_validate(
        {
            "configuration": {"sasl.password": "s3cret"},
            "jaas": {"loginModule": PLAIN, "options": {"username": "u", "password": "s3cret"}},
        }
    )
    settings = consumer_settings(binder, KafkaConsumerProperties(), binding="in-x", group="g")
    assert "s3cret" not in repr(binder) + str(binder) + repr(settings)


@pytest.mark.parametrize(
    ("merged", "expected"),
    [
        ({"ssl.truststore.location": "/ca.pem"}, {"ssl.ca.location": "/ca.pem"}),
        (
            {"ssl.truststore.location": "/ca", "ssl.truststore.type": "PEM"},
            {"ssl.ca.location": "/ca"},
        ),
        (
            {"ssl.keystore.location": "/me.pem"},
            {"ssl.certificate.location": "/me.pem", "ssl.key.location": "/me.pem"},
        ),
        (
            {"ssl.keystore.location": "/me.p12", "ssl.keystore.password": "p"},
            {"ssl.keystore.location": "/me.p12", "ssl.keystore.password": "p"},
        ),
    ],
)
def test_stores_that_the_client_can_read(merged: dict[str, str], expected: dict[str, str]) -> None:
    assert tls_settings(merged, "x") == expected


@pytest.mark.parametrize(
    ("merged", "command"),
    [
        ({"ssl.truststore.location": "/ca.jks"}, "keytool -importkeystore -srckeystore /ca.jks"),
        ({"ssl.truststore.location": "/ca.p12"}, "openssl pkcs12 -in /ca.p12 -nokeys"),
        ({"ssl.keystore.location": "/me.jks"}, "keytool -importkeystore -srckeystore /me.jks"),
        ({"ssl.keystore.location": "/me", "ssl.keystore.type": "jks"}, "keytool"),
    ],
)
def test_others_are_an_error_with_the_command_that_converts_them(merged: dict[str, str], command: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        tls_settings(merged, "here")
    assert command in str(raised.value)
    assert str(raised.value).startswith("here: ")


def test_no_host_name_check_is_spelled_differently() -> None:
    binder = KafkaBinderProperties.model_validate({"configuration": {"ssl.endpoint.identification.algorithm": ""}})
    client = consumer_settings(binder, KafkaConsumerProperties(), binding="in-x", group="g").client
    assert client["ssl.endpoint.identification.algorithm"] == "none"
