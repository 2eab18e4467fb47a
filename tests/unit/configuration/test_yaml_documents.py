from __future__ import annotations

import time
from textwrap import dedent

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from streambind.configuration.finding import Origin, Severity
from streambind.configuration.flat import flatten
from streambind.configuration.names import dotted
from streambind.configuration.yaml_documents import MAX_BYTES, MAX_DEPTH, MAX_VALUES, read_documents


def read(text: str) -> tuple[list[dict[str, object]], list[str]]:
    documents, findings = read_documents(dedent(text).encode(), "f.yaml")
    return [
        {dotted(value.name): value.value for value in document.flat.values.values()} for document in documents
    ], [str(finding) for finding in findings]


def test_scalars_stay_the_text_of_the_file() -> None:
    text = """
    a: 007
    b: no
    c: 2022-08-08
    d: "quoted # text"
    e: ~
    f:
    g: {}
    h: []
    i: 1_000
    j: |
      two
      lines
    """
    assert read(text) == (
        [
            {
                "a": "007",
                "b": "no",
                "c": "2022-08-08",
                "d": "quoted # text",
                "e": "",
                "f": "",
                "g": "",
                "h": "",
                "i": "1_000",
                "j": "two\nlines\n",
            }
        ],
        [],
    )


def test_every_name_and_value_has_its_place() -> None:
    text = "spring.cloud:\n  stream.bindings:\n    in-a: {group: g}\n'quoted.name': x\nlist:\n  - a\n  -   b\n"
    (document,), findings = read_documents(text.encode(), "f.yaml")
    assert not findings
    places = {dotted(p.name): str(p.origin) for p in document.flat.places.values()}
    assert places == {
        "spring": "f.yaml:1:1",
        "spring.cloud": "f.yaml:1:8",
        "spring.cloud.stream": "f.yaml:2:3",
        "spring.cloud.stream.bindings": "f.yaml:2:10",
        "spring.cloud.stream.bindings.in-a": "f.yaml:3:5",
        "spring.cloud.stream.bindings.in-a.group": "f.yaml:3:12",
        "quoted": "f.yaml:4:1",
        "quoted.name": "f.yaml:4:1",
        "list": "f.yaml:5:1",
        "list[0]": "f.yaml:6:5",
        "list[1]": "f.yaml:7:7",
    }
    values = {dotted(v.name): str(v.value_origin) for v in document.flat.values.values()}
    assert values["spring.cloud.stream.bindings.in-a.group"] == "f.yaml:3:19"


def test_several_documents_keep_their_lines() -> None:
    documents, findings = read_documents(b"---\n# nothing\n---\na: 1\n---\nb: 2\n...\n", "f.yaml")
    assert not findings
    assert [d.number for d in documents] == [2, 3]
    assert [str(v.origin) for d in documents for v in d.flat.values.values()] == ["f.yaml:4:1", "f.yaml:6:1"]


def test_duplicate_keys_are_found() -> None:
    assert read("a: 1\nb: 2\na: 3\n") == (
        [{"a": "1", "b": "2"}],
        ["f.yaml:3:1  error  duplicate key 'a'; it stands in line 1 already"],
    )


def test_two_spellings_of_one_key_are_duplicates_below_our_roots() -> None:
    text = "streambind.instance-count: 1\nstreambind:\n  instanceCount: 2\nserver.port: 1\nserver: {port: 2}\n"
    assert read(text)[1] == [
        "f.yaml:3:3  error  duplicate key 'streambind.instanceCount'; it stands in line 1 already, as"
        " 'streambind.instance-count'"
    ]


def test_anchors_and_merge_keys_are_followed() -> None:
    text = """
    base: &base {group: g, contentType: a}
    more: &more {x: 1, group: other}
    one: {<<: *base, group: own}
    two:
      <<: [*base, *more]
    three: &three {<<: *more, y: 2}
    four: {<<: *three}
    five: *base
    """
    (values,), findings = read(text)
    assert not findings
    assert {k: v for k, v in values.items() if not k.startswith(("base", "more"))} == {
        "one.group": "own",
        "one.contentType": "a",
        "two.group": "g",
        "two.contentType": "a",
        "two.x": "1",
        "three.y": "2",
        "three.x": "1",
        "three.group": "other",
        "four.y": "2",
        "four.x": "1",
        "four.group": "other",
        "five.group": "g",
        "five.contentType": "a",
    }


def test_what_a_merge_key_brings_is_no_duplicate() -> None:
    text = "x: &x {group: g, consumer: {a: 1}}\nstreambind.bindings.in-a: {<<: *x, group: own, consumer: {b: 2}}\n"
    (values,), findings = read(text)
    assert findings == []
    assert values["streambind.bindings.in-a.group"] == "own"
    assert "streambind.bindings.in-a.consumer.a" not in values


def test_a_merge_key_takes_a_mapping_only() -> None:
    assert read("a: {<<: 5}")[1] == ["f.yaml:1:9  error  '<<' takes a mapping, or a list of mappings"]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("- a\n- b\n", "1:1  error  the document is a list; it must be a mapping of names to values"),
        ("word", "1:1  error  the document is a single value; it must be a mapping of names to values"),
        ("", "1:1  warning  the file holds no configuration"),
        ("# only words\n", "1:1  warning  the file holds no configuration"),
        ("a:\n\tb: 1\n", "2:1  error  not YAML: a tab; YAML is indented with spaces"),
        ("a: [1\nb: 3\n", "2:2  error  not YAML: while parsing a flow sequence expected ',' or ']', but got ':'"),
        ("a: !!set x\n", "1:4  error  the tag 'set' is not supported; a text like this stands in quotes"),
        ("a: !secret x\n", "1:4  error  the tag '!secret' is not supported; a text like this stands in quotes"),
        ("? [a, b]\n: c\nd: e\n", "1:3  error  a list or mapping cannot be a name"),
        ("a: *nowhere\n", "1:4  error  not YAML: found undefined alias 'nowhere'"),
        ("a: b\x07\n", "1:5  error  not allowed in YAML: character #x0007"),
    ],
)  # fmt: skip
def test_what_is_wrong_has_a_place(text: str, finding: str) -> None:
    assert read(text)[1] == [f"f.yaml:{finding}"]


def test_documents_before_a_mistake_are_read() -> None:
    values, findings = read("a: 1\n---\nb: [\n")
    assert values == [{"a": "1"}]
    assert len(findings) == 1


def test_text_that_is_not_utf_8_is_found() -> None:
    documents, (finding,) = read_documents("a: 1\nb: \xfc\n".encode("latin-1"), "f.yaml")
    assert (documents, str(finding)) == ([], "f.yaml:2:4  error  not UTF-8: byte 0xfc; save the file as UTF-8")


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    (document,), _ = read_documents("\ufeffa: 분류\n".encode(), "f.yaml")
    value = document.flat.values["a",]
    assert (value.value, str(value.value_origin)) == ("분류", "f.yaml:1:4")


def test_a_file_that_is_too_large_is_refused() -> None:
    content = b"a: " + b"x" * MAX_BYTES
    documents, (finding,) = read_documents(content, "f.yaml")
    assert not documents
    assert str(finding).startswith("f.yaml:1:1  error  the file has more than 1048576 bytes")


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused(opening: str) -> None:
    _, findings = read_documents(("a: \n  " + opening * 5000).encode(), "f.yaml")
    assert [f.text for f in findings] == [f"nested deeper than {MAX_DEPTH}"]


def test_a_file_with_very_many_values_is_refused() -> None:
    text = "x:\n" + "  - a\n" * (2 * MAX_VALUES)
    documents, findings = read_documents(text.encode(), "f.yaml")
    assert documents == []
    assert [f.text for f in findings] == [f"the file holds more than {MAX_VALUES} names and values"]


def test_an_anchor_inside_itself_is_refused() -> None:
    _, findings = read("a: &a [*a]\n")
    assert findings == ["f.yaml:1:4  error  nested deeper than 64; is an anchor used inside itself?"]


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    began = time.monotonic()
    documents, findings = read_documents("\n".join(lines).encode(), "f.yaml")
    assert [f.text for f in findings] == [f"the document expands to more than {MAX_VALUES} values"]
    assert sum(len(d.flat.values) for d in documents) <= MAX_VALUES
    assert time.monotonic() - began < 30


def test_a_merge_bomb_is_refused() -> None:
    lines = ["m0: &m0 {x: 1}"]
    lines += [f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 10)}]}}" for i in range(1, 10)]
    _, findings = read_documents("\n".join(lines).encode(), "f.yaml")
    assert [f.text for f in findings] == [f"the document expands to more than {MAX_VALUES} values"]


@given(st.binary(max_size=300))
def test_any_bytes_give_documents_or_findings(content: bytes) -> None:
    documents, findings = read_documents(content, "f.yaml")
    assert documents or findings


SYNTAX = st.text(st.sampled_from("ab:-[]{}&*!|>'\"%@`#,? \n\t<~.0"), max_size=60)


@given(SYNTAX)
def test_anything_like_yaml_gives_documents_or_findings(text: str) -> None:
    documents, findings = read_documents(text.encode(), "f.yaml")
    assert documents or findings
    assert all(f.origin and f.origin.line and f.origin.column for f in findings)


@given(
    st.recursive(
        st.text(max_size=6),
        lambda inner: (
            st.dictionaries(st.from_regex("[a-z]{1,5}", fullmatch=True), inner, min_size=1, max_size=3)
            | st.lists(inner, min_size=1, max_size=3)
        ),
        max_leaves=15,
    ).filter(lambda tree: isinstance(tree, dict))
)
def test_what_yaml_writes_is_read_back(tree: dict[str, object]) -> None:
    (document,), findings = read_documents(yaml.safe_dump(tree, allow_unicode=False).encode(), "f.yaml")
    assert not [f for f in findings if f.severity is Severity.ERROR]
    expected, _ = flatten(tree, Origin("code"))
    assert {k: v.value for k, v in document.flat.values.items()} == {
        k: v.value for k, v in expected.values.items()
    }
