from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambind.configuration.placeholders import MAX_LENGTH, UnresolvedPlaceholder, resolve

NOTHING: dict[str, str] = {}
VALUES = {
    "host": "kafka",
    "port": "9092",
    "which": "host",
    "address": "${host}:${port}",
    "empty": "",
    "a.b": "dotted",
    "a:b": "colon",
    "literal": r"\${host}",
}


@pytest.mark.parametrize(
    ("text", "resolved"),
    [
        ("plain", "plain"),
        ("${host}", "kafka"),
        ("x-${host}-${port}", "x-kafka-9092"),
        ("${address}", "kafka:9092"),
        ("${missing:default}", "default"),
        ("${missing:localhost:9092}", "localhost:9092"),
        ("${missing:}", ""),
        ("${empty:default}", ""),
        ("${missing:${host}}", "kafka"),
        ("${host:{a{}}}!", "kafka!"),
        ("${missing:${other:${port}}}", "9092"),
        ("${${which}}", "kafka"),
        ("${a.${which:x}:deflt}", "deflt"),
        ('${missing:{"a": {}}}', '{"a": {}}'),
        (r"\${host}", "${host}"),
        (r"a\${host} ${host}", "a${host} kafka"),
        (r"${literal}", "${host}"),
        (r"${a\:b}", "colon"),
        (r"${missing:C:\dir}", r"C:\dir"),
        (r"a\:b", r"a\:b"),
        ("$host {host} $", "$host {host} $"),
        ("a}b{", "a}b{"),
        ("${ host }", "kafka"),
        ("jdbc:x://${host}:${port}/db?a={b}", "jdbc:x://kafka:9092/db?a={b}"),
    ],
)
def test_placeholders_are_replaced(text: str, resolved: str) -> None:
    assert resolve(text, VALUES.get).text == resolved


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${missing}", "nothing has the name of the placeholder ${missing}; set it"),
        ("${missing:${other}}", "nothing has the name of the placeholder ${other}"),
        ("${host", "'${' without '}'"),
        ("${a:${b}", "'${' without '}'"),
        ("${random.uuid}", "${random.uuid}: random values are not supported"),
        ("${" * 50 + "}" * 50, "nested deeper than 32"),
    ],
)
def test_what_cannot_be_replaced_is_an_error(text: str, message: str) -> None:
    with pytest.raises(UnresolvedPlaceholder) as caught:
        resolve(text, VALUES.get)
    assert message in str(caught.value)


def test_a_cycle_is_an_error_that_names_it() -> None:
    values = {"a": "${b}", "b": "x${c}", "c": "${a}", "self": "${self}"}
    with pytest.raises(UnresolvedPlaceholder, match="needs itself: a -> b -> c -> a"):
        resolve("${a}", values.get)
    with pytest.raises(UnresolvedPlaceholder, match="self -> self"):
        resolve("${self}", values.get)


def test_the_same_name_twice_is_no_cycle() -> None:
    assert resolve("${host}${host}", VALUES.get).text == "kafkakafka"


def test_a_bomb_is_refused() -> None:
    values = {f"a{i}": f"${{a{i + 1}}}" * 10 for i in range(20)} | {"a20": "x"}
    with pytest.raises(UnresolvedPlaceholder, match="too many others"):
        resolve("${a0}", values.get)
    with pytest.raises(UnresolvedPlaceholder, match=f"more than {MAX_LENGTH} characters"):
        resolve("${long}" * 10, {"long": "x" * 10_000}.get)


def test_what_comes_from_a_secret_is_secret() -> None:
    values = {"DB_PASSWORD": "hunter2", "url": "x://u:${DB_PASSWORD}@h", "host": "h"}
    assert resolve("${url}", values.get).secret
    assert resolve("${API_TOKEN:dev}", values.get).secret
    assert not resolve("${host}", values.get).secret
    assert resolve("a${host}b${url}", values.get).names == ("host", "url", "DB_PASSWORD")


@given(st.text(st.sampled_from("ab$\\{}: "), max_size=40))
def test_any_text_resolves_or_is_an_error(text: str) -> None:
    with suppress(UnresolvedPlaceholder):
        assert len(resolve(text, {"a": "1", "b": "${a}"}.get).text) <= len(text)


@given(st.text(max_size=40).filter(lambda text: "$" not in text and "\\" not in text))
def test_text_without_placeholders_stays(text: str) -> None:
    assert resolve(text, NOTHING.get).text == text


PLAIN = st.text(st.characters(exclude_characters="${}\\", exclude_categories=["Cs"]), max_size=12)


@given(PLAIN, PLAIN, PLAIN)
def test_value_and_default_arrive_unchanged(before: str, value: str, after: str) -> None:
    assert resolve(f"{before}${{name:x}}{after}", {"name": value}.get).text == before + value + after
    assert resolve(f"{before}${{name:{value}}}{after}", NOTHING.get).text == before + value + after
