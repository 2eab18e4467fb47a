"""The header that says which database an event comes from, and its number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambind.origin import MAX_EPOCH, Origin

_names = st.text(st.characters(exclude_characters="/"), min_size=1, max_size=249)
_sources = st.text(
    st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="/"), min_size=1, max_size=36
)
_epochs = st.integers(1, MAX_EPOCH)
_counts = st.integers(1, 10**18 - 1)


def test_its_text_has_five_parts() -> None:
    assert str(Origin("source", 2, "lectures", 7)) == "1/source/2/lectures/7"


@given(_sources, _epochs, _names, _counts)
def test_what_is_written_is_read_again(source: str, epoch: int, destination: str, seq: int) -> None:
    origin = Origin(source, epoch, destination, seq)
    assert Origin.parse(str(origin)) == origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "2/source/1/lectures/7",
        "/source/1/lectures/7",
        "1/source/1/lectures",
        "1/source/1/lectures/7/",
        "1//1/lectures/7",
        "1/source/1//7",
        "1/source//lectures/7",
        "1/source/1/lectures/",
        "1/source/0/lectures/7",
        "1/source/1/lectures/0",
        "1/source/01/lectures/7",
        "1/source/1/lectures/-7",
        "1/source/1/lectures/+7",
        "1/source/1/lectures/7.0",
        "1/source/1/lectures/ 7",
        "1/source/1/lectures/٧",
        "1/source/1/lectures/²",
        "1/source/1/lectures/1000000000000000000",
        "1/source/1000000000000000000/lectures/1",
        f"1/source/{MAX_EPOCH + 1}/lectures/1",
        f"1/{'s' * 37}/1/lectures/1",
        "1/s\x00/1/lectures/1",
        "1/\u00fc/1/lectures/1",
        f"1/source/1/{'l' * 1_100}/1",
    ],
)
def test_what_is_no_origin_is_none(text: str) -> None:
    assert Origin.parse(text) is None


def test_the_largest_number_fits_a_column_of_64_bits() -> None:
    origin = Origin.parse(f"1/source/1/lectures/{10**18 - 1}")
    assert origin is not None
    assert origin.seq < 2**63


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    parsed = Origin.parse(text)
    assert parsed is None or str(parsed) == text
