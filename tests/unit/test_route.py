"""The route that messages came, as a header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambind.errors import CircleError
from streambind.route import Route

_topics = st.text("abc.-_XYZ09", min_size=1, max_size=20)


def test_a_route_counts_how_often_a_destination_was_passed() -> None:
    route = Route().through("orders").through("stock").through("orders")
    assert str(route) == "orders=2 stock=1"
    assert Route.parse(str(route)) == route


@pytest.mark.parametrize(
    "text",
    [None, "", "orders", "=1", "orders=", "orders=x", "orders=-1", "orders=٣", "a=1 b", "a=1234567890", "  "],
)
def test_what_is_no_route_is_none(text: str | None) -> None:
    assert Route.parse(text) == Route()


def test_a_route_of_too_many_destinations_is_none() -> None:
    assert Route.parse(" ".join(f"d{n}=1" for n in range(65))) == Route()
    assert len(Route.parse(" ".join(f"d{n}=1" for n in range(64))).times) == 64


@given(st.dictionaries(_topics, st.integers(0, 999_999_999), max_size=64))
def test_every_route_can_be_read_again(times: dict[str, int]) -> None:
    assert Route.parse(str(Route(times))) == Route(times)


@given(st.text(max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    Route.parse(text).through("x")


def test_of_several_routes_the_longest_way_counts() -> None:
    assert Route.of_all([Route({"a": 2}), Route({"a": 1, "b": 3})]) == Route({"a": 2, "b": 3})


def test_one_round_too_many_is_refused_with_the_way() -> None:
    route = Route({"orders": 2, "stock": 2})
    route.refuse_circle("out-orders", "orders", max_rounds=3)
    with pytest.raises(CircleError, match=r"binding out-orders: .* \(orders -> stock -> orders\)"):
        route.refuse_circle("out-orders", "orders", max_rounds=2)
