from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from streambind.configuration.durations import Milliseconds, Seconds, parse_duration


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("500", 500),
        ("500ms", 500),
        ("10s", 10_000),
        ("10 s", 10_000),
        ("2m", 120_000),
        ("1H", 3_600_000),
        ("1d", 86_400_000),
        ("1500us", 2),
        ("PT10S", 10_000),
        ("pt1h30m", 5_400_000),
        ("P1DT0.5S", 86_400_500),
        ("0", 0),
    ],
)
def test_durations_are_written_as_in_spring(text: str, milliseconds: int) -> None:
    assert TypeAdapter(Milliseconds).validate_python(text) == milliseconds


def test_a_bare_number_has_the_unit_of_the_property() -> None:
    assert TypeAdapter(Seconds).validate_python("30") == 30
    assert TypeAdapter(Seconds).validate_python("30000ms") == 30
    assert TypeAdapter(Seconds).validate_python(30) == 30


@pytest.mark.parametrize("text", ["3x", "ten", "", "P", "PT", "-1", "1.5s", "5 minutes"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Milliseconds).validate_python(text)


@given(st.text(max_size=30))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert isinstance(parse_duration(text, "ms"), int)
