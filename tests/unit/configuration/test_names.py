from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambind.configuration.names import (
    dotted,
    environment_variables,
    identity,
    nearest,
    parse_name,
    uniform,
)

SEGMENTS = st.one_of(
    st.from_regex(r"[A-Za-z_-][A-Za-z0-9_-]{0,8}", fullmatch=True),
    st.integers(0, 99).map(lambda i: f"[{i}]"),
    st.from_regex(r"\[[a-z]{1,3}[.:/ ][a-z]{1,3}\]", fullmatch=True),
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a", ("a",)),
        ("a.b-c.dE", ("a", "b-c", "dE")),
        ("a[0].b[12]", ("a", "[0]", "b", "[12]")),
        ("a.[b.c].d", ("a", "[b.c]", "d")),
        ("[in-categoryChanged]", ("in-categoryChanged",)),
        ("a.[7]", ("a", "[7]")),
        ("a..b", ("a", "", "b")),
        (".a", ("", "a")),
        ("a.", ("a", "")),
        ("", ("",)),
    ],
)
def test_parse_name_splits_at_dots_and_brackets(text: str, name: tuple[str, ...]) -> None:
    assert parse_name(text) == name


@given(st.lists(SEGMENTS, min_size=1, max_size=6))
def test_a_name_survives_being_written_and_read(segments: list[str]) -> None:
    name = tuple(segments)
    assert parse_name(dotted(name)) == name


@given(st.text(max_size=30))
def test_any_text_has_a_name(text: str) -> None:
    name = parse_name(text)
    assert name
    assert identity(name)
    assert environment_variables(name)


WORDS = st.lists(st.from_regex(r"[a-z]{1,5}", fullmatch=True), min_size=1, max_size=4)


@given(WORDS)
def test_all_relaxed_spellings_are_one_name(words: list[str]) -> None:
    camel = words[0] + "".join(word.capitalize() for word in words[1:])
    spellings = {camel, "-".join(words), "_".join(words), "_".join(words).upper(), "".join(words).upper()}
    assert {identity(("spring", spelling)) for spelling in spellings} == {("spring", "".join(words))}


@given(WORDS)
def test_the_variables_of_all_spellings_are_the_same(words: list[str]) -> None:
    camel = words[0] + "".join(word.capitalize() for word in words[1:])
    removed, replaced = "".join(words).upper(), "_".join(words).upper()
    assert environment_variables(("a", "-".join(words)))[:1] == (f"A_{removed}",)
    if not re.search(r"[A-Z]{2}", camel):
        assert f"A_{replaced}" in environment_variables(("a", camel))
        assert f"a_{removed.lower()}" in environment_variables(("a", camel))


def test_both_roots_are_one() -> None:
    assert identity(parse_name("spring.cloud.stream.bindings.x")) == identity(parse_name("streambind.bindings.X"))
    assert identity(parse_name("Stream-Bind.x")) == ("streambind", "x")
    assert identity(parse_name("spring.cloud.x")) == ("spring", "cloud", "x")


def test_a_name_in_brackets_equals_one_with_dots() -> None:
    assert identity(parse_name("configuration.[max.poll.records]")) == identity(
        parse_name("configuration.max.poll.records")
    )


def test_environment_variables_come_in_the_order_of_spring() -> None:
    name = parse_name("spring.cloud.stream.bindings.in-categoryChanged.group")
    assert environment_variables(name) == (
        "SPRING_CLOUD_STREAM_BINDINGS_INCATEGORYCHANGED_GROUP",
        "SPRING_CLOUD_STREAM_BINDINGS_IN_CATEGORYCHANGED_GROUP",
        "SPRING_CLOUD_STREAM_BINDINGS_IN_CATEGORY_CHANGED_GROUP",
        "spring_cloud_stream_bindings_incategorychanged_group",
        "spring_cloud_stream_bindings_in_categorychanged_group",
        "spring_cloud_stream_bindings_in_category_changed_group",
    )


def test_uniform_keeps_what_has_no_ascii_letter() -> None:
    assert uniform("분류") == "분류"
    assert uniform("-") == "-"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("destinaton", "destination"),
        ("goup", "group"),
        ("content_tpye", "contentType"),
        ("uri", "url"),
        ("xyz", None),
    ],
)
def test_nearest_finds_what_was_meant(wrong: str, right: str | None) -> None:
    assert nearest(wrong, ["destination", "group", "contentType", "url"]) == right
