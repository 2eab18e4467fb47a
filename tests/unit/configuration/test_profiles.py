from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambind.configuration.finding import Origin
from streambind.configuration.flat import flatten
from streambind.configuration.profiles import (
    MalformedExpression,
    expand_groups,
    is_valid_profile,
    parse_condition,
)


@pytest.mark.parametrize(
    ("expression", "active", "holds"),
    [
        ("docker", "docker", True),
        ("docker", "default", False),
        ("!docker", "default", True),
        ("!docker", "docker", False),
        ("!!docker", "docker", True),
        ("a & b", "a b", True),
        ("a & b", "a", False),
        ("a | b", "b", True),
        ("a & b & c", "a b", False),
        ("(a & b) | c", "c", True),
        ("a & (b | !c)", "a", True),
        ("a & (b | !c)", "a c", False),
        ("!(a | b)", "c", True),
        ("!a & b", "b", True),
        ("a&b", "a b", True),
        ("prod-eu.1", "prod-eu.1", True),
    ],
)
def test_an_expression_holds(expression: str, active: str, holds: bool) -> None:
    assert parse_condition([expression]).holds(active.split()) is holds


@pytest.mark.parametrize(
    "expression",
    [
        "",
        " ",
        "a & b | c",
        "a &",
        "& a",
        "(a",
        "a)",
        "a b & c(",
        "!",
        "()",
        "a (b)",
        "a ! b",
        "(" * 400 + "a" + ")" * 400,
    ],
)
def test_what_spring_calls_malformed_is_refused(expression: str) -> None:
    with pytest.raises(MalformedExpression, match="malformed profile expression"):
        parse_condition([expression])


def test_any_of_several_expressions_suffices() -> None:
    condition = parse_condition(["a & b", "!c"])
    assert condition.holds(["c", "a", "b"])
    assert condition.holds([])
    assert not condition.holds(["c"])
    assert condition.names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("expression", "active", "profiles"),
    [
        ("docker", ["default"], ("docker",)),
        ("docker | cloud", ["default"], ("docker", "cloud")),
        ("docker & eu", ["default"], ("docker", "eu")),
        ("docker & eu", ["eu"], ("docker",)),
        ("!docker", ["docker"], ()),
        ("docker & !eu", ["eu"], ()),
    ],
)
def test_a_condition_names_the_profiles_that_would_do(
    expression: str, active: list[str], profiles: tuple[str, ...]
) -> None:
    assert parse_condition([expression]).would_hold_with(active) == profiles


@given(st.text(st.sampled_from("ab()!&| "), max_size=40))
def test_any_text_is_an_expression_or_malformed(text: str) -> None:
    try:
        condition = parse_condition([text])
    except MalformedExpression:
        return
    assert condition.holds(["a"]) in (True, False)


EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "b", "c"]),
    lambda inner: st.one_of(
        inner.map(lambda e: f"!({e})"),
        st.tuples(inner, inner).map(lambda e: f"({e[0]}) & ({e[1]})"),
        st.tuples(inner, inner).map(lambda e: f"({e[0]}) | ({e[1]})"),
    ),
    max_leaves=6,
)


@given(EXPRESSIONS, st.sets(st.sampled_from("abc")))
def test_an_expression_means_what_it_means_in_logic(expression: str, active: set[str]) -> None:
    python = expression.replace("!", " not ").replace("&", " and ").replace("|", " or ")
    expected = eval(python, {}, {name: name in active for name in "abc"})
    assert parse_condition([expression]).holds(active) == expected


def test_groups_bring_their_members_in_order() -> None:
    groups = {"spring.profiles.group": {"prod": ["db", "mq"], "mq": "kafka,prod"}}
    flat, _ = flatten(groups, Origin("f"))
    assert expand_groups(["x", "prod", "db"], flat) == ["x", "prod", "db", "mq", "kafka"]


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("docker", True),
        ("a-b_c.d+e@1", True),
        ("운영", True),
        ("-a", False),
        ("a-", False),
        ("a b", False),
        ("a!", False),
    ],
)
def test_profile_names_are_checked(name: str, valid: bool) -> None:
    assert is_valid_profile(name) is valid
