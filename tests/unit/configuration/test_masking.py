from __future__ import annotations

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from streambind.configuration.masking import MASK, is_secret, should_not_be_literal, shown, shown_url


@pytest.mark.parametrize(
    "name",
    [
        "sasl.password",
        "ssl.key.password",
        "sasl.jaas.config",
        "kafka.binder.jaas.options.username",
        "clientSecret",
        "SCHEMA_REGISTRY_TOKEN",
        "basic.auth.credentials.source",
        "ssl.key.pem",
        "sslKeyPem",
        "ssl.keystore.key",
        "privateKey",
        "API_KEY",
        "apiKey",
        "passphrase",
        "aws.accessKeyId",
        "pwd",
        "db.pw",
        "dbPwd",
        "passwd",
        "api_key",
        "sasl.oauthbearer.config",
        "basic.auth.user.info",
    ],
)
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert is_secret(name)
    assert shown(name, "hunter2") == MASK


@pytest.mark.parametrize(
    "name", ["brokers", "group", "ssl.ca.location", "keySerializer", "key", "publish", "primaryKey"]
)
def test_other_names_are_shown(name: str) -> None:
    assert not is_secret(name)
    assert shown(name, "value") == "value"


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://user:hunter2@host:5432/db", f"postgresql://user:{MASK}@host:5432/db"),
        ("postgresql+psycopg://:hunter2@/db?host=/tmp", f"postgresql+psycopg://:{MASK}@/db?host=/tmp"),
        ("x://u:p@ss/w:rd@host", f"x://u:{MASK}@host"),
        ("http://host:80/a?password=hunter2&b=c", f"http://host:80/a?password={MASK}&b=c"),
        ("postgresql://h/d?user=u&Password=hunter2", f"postgresql://h/d?user=u&Password={MASK}"),
        ("amqp://h?passphrase=x&api_key=k&a=b", f"amqp://h?passphrase={MASK}&api_key={MASK}&a=b"),
        ("host=h password=hunter2 user=u", f"host=h password={MASK} user=u"),
        ("password='hunter 2' host=h", f"password={MASK} host=h"),
        ("host=h tokens=3 pw=x", f"host=h tokens=3 pw={MASK}"),
        ("sqlite:///file.db", "sqlite:///file.db"),
        ("localhost:9092,other:9093", "localhost:9092,other:9093"),
        ("http://registry:8081", "http://registry:8081"),
    ],
)
def test_addresses_are_shown_without_passwords(url: str, masked: str) -> None:
    assert shown("url", url) == masked


def test_values_of_all_kinds_are_shown() -> None:
    assert shown("brokers", ["a:1", "x://u:p@h"]) == f"a:1,x://u:{MASK}@h"
    assert shown("enabled", True) == "true"
    assert shown("count", 3) == "3"
    assert shown("url", SecretStr("hunter2")) == MASK
    assert shown("group", "hunter2", secret=True) == MASK
    assert shown("password", "") == ""


@pytest.mark.parametrize(
    ("name", "value", "warns"),
    [
        ("sasl.password", "hunter2", True),
        ("configuration.sasl.jaas.config", "... password='x';", True),
        ("datasource.url", "postgresql://u:hunter2@h/db", True),
        ("datasource.url", "postgresql://u@h/db", False),
        ("sasl.password", "", False),
        ("sasl.oauthbearer.token.endpoint.url", "https://idp/token", False),
        ("jaas.loginModule", "org.apache.PlainLoginModule", False),
        ("jaas.options.username", "alice", False),
    ],
)
def test_a_literal_secret_is_worth_a_warning(name: str, value: str, warns: bool) -> None:
    assert should_not_be_literal(name, value) is warns


def test_the_url_of_an_engine_is_shown_without_its_secrets() -> None:
    url = make_url("postgresql+psycopg://u:hunter2@h/db?user=u&password=hunter2&sslpassword=hunter2")
    assert "hunter2" not in shown_url(url)
    assert shown_url(make_url("sqlite:///file.db")) == "sqlite:///file.db"
