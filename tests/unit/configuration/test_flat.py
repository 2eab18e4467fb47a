from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from streambind.configuration.finding import Origin
from streambind.configuration.flat import Flat, Value, flatten, merge
from streambind.configuration.names import identity, parse_name

HERE = Origin("here")


def values(flat: Flat) -> dict[str, object]:
    return {".".join(key): value.value for key, value in flat.values.items()}


def flattened(tree: Mapping[str, object], origin: Origin = HERE) -> Flat:
    flat, findings = flatten(tree, origin)
    assert findings == []
    return flat


def flat(**entries: object) -> Flat:
    return flattened(entries)


def test_flatten_takes_dotted_names_and_nesting_in_any_mixture() -> None:
    tree = {"a.b": 1, "c": {"d.e": "x", "f": [True, {"g": None}]}, "h": {}, "i": []}
    assert values(flattened(tree)) == {
        "a.b": 1,
        "c.d.e": "x",
        "c.f.[0]": True,
        "c.f.[1].g": "",
        "h": "",
        "i": "",
    }


def test_maps_are_merged_per_key() -> None:
    merged = merge([flattened({"m": {"a": 1, "b": 2}}), flattened({"m": {"b": 3, "c": 4}})])
    assert values(merged) == {"m.a": 1, "m.b": 3, "m.c": 4}


def test_a_list_is_replaced_as_a_whole() -> None:
    low = flattened({"l": ["a", "b", "c"], "other": ["z"]})
    assert values(merge([low, flattened({"l": ["d"]})])) == {"l.[0]": "d", "other.[0]": "z"}
    assert values(merge([low, flattened({"l": "d,e"})])) == {"l": "d,e", "other.[0]": "z"}
    assert values(merge([flattened({"l": "d,e"}), low])) == {
        "l.[0]": "a",
        "l.[1]": "b",
        "l.[2]": "c",
        "other.[0]": "z",
    }


def test_the_later_spelling_overrides_the_earlier_one() -> None:
    merged = merge([flattened({"x.enableDlq": 1}), flattened({"X.enable-dlq": 2})])
    assert values(merged) == {"x.enabledlq": 2}


def test_the_first_place_of_a_name_is_kept() -> None:
    merged = merge([flattened({"a.b": 1}, Origin("first")), flattened({"a.B": 2}, Origin("second"))])
    place = merged.places["a", "b"]
    assert (place.name, place.origin) == (("a", "b"), Origin("first"))


def test_add_returns_the_value_that_was_there() -> None:
    source = Flat()
    first = Value(("a-b",), "1", HERE, HERE)
    assert source.add(first) is None
    assert source.add(Value(("aB",), "2", HERE, HERE)) is first
    assert values(source) == {"ab": "1"}


def test_items_are_those_of_a_list_or_the_one_value() -> None:
    source = flat(l=["a", "b"], s="c", m={"x": "d"})
    assert [v.value for v in source.items("l")] == ["a", "b"]
    assert [v.value for v in source.items("s")] == ["c"]
    assert source.items("m") == []


def test_children_keep_their_spelling() -> None:
    source = flattened({"spring.cloud.stream": {"bindings": {"in-aB": {"group": "g"}, "Out": None}}})
    assert source.children("streambind.bindings") == {"inab": "in-aB", "out": "Out"}


KEYS = st.from_regex(r"[a-z]{1,6}", fullmatch=True)
TREES = st.recursive(
    st.text(max_size=5) | st.integers(),
    lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=3) | st.lists(inner, min_size=1, max_size=3),
    max_leaves=12,
)


def leaves(tree: object, name: str = "") -> dict[str, object]:
    if isinstance(tree, dict):
        return {
            k: v for key, inner in tree.items() for k, v in leaves(inner, f"{name}.{key}" if name else key).items()
        }
    if isinstance(tree, list):
        return {k: v for i, inner in enumerate(tree) for k, v in leaves(inner, f"{name}[{i}]").items()}
    return {name: tree}


@given(st.dictionaries(KEYS, TREES, min_size=1, max_size=4))
def test_nested_and_dotted_are_the_same(tree: dict[str, object]) -> None:
    nested, dotted = flattened(tree), flattened(leaves(tree))
    assert values(nested) == values(dotted)
    assert {identity(parse_name(name)) for name in leaves(tree)} == set(nested.values)


@given(st.lists(st.dictionaries(KEYS, TREES, max_size=3), min_size=3, max_size=3))
def test_merging_is_associative(trees: list[dict[str, object]]) -> None:
    a, b, c = (flattened(tree) for tree in trees)
    assert values(merge([merge([a, b]), c])) == values(merge([a, b, c]))


@given(st.dictionaries(KEYS, TREES, max_size=4))
def test_merging_with_nothing_or_itself_changes_nothing(tree: dict[str, object]) -> None:
    source = flattened(tree)
    assert values(merge([source, Flat()])) == values(merge([Flat(), source])) == values(source)
    assert values(merge([source, source])) == values(source)
