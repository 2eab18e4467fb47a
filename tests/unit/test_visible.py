"""Nothing that others wrote may steer the terminal."""

from __future__ import annotations

import json

import pytest

from streambind.visible import is_text, visible, visible_json


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x9b31m", r"\x9b31m"),
        ("\x7f\x00", r"\x7f\x00"),
        ("user\u202etxt.exe", r"user\u202etxt.exe"),
        ("\u2066\u200b\ufeff", r"\u2066\u200b\ufeff"),
        ("\u2028", r"\u2028"),
        ("\ud800", r"\ud800"),
        (b"\xff\x1b", r"\xff\x1b"),
    ],
)
def test_steering_characters_become_escapes(hostile: object, shown: str) -> None:
    assert visible(hostile) == shown


@pytest.mark.parametrize("text", ["최종테스트", "naïve – 100 €", "👩‍💻", "می‌خواهم"])
def test_letters_of_every_script_stay(text: str) -> None:
    assert visible(text) == text


def test_line_ends_stay_where_lines_are_meant() -> None:
    assert visible("a\nb\x1b", lines=True) == "a\nb\\x1b"


@pytest.mark.parametrize("hostile", ["\x1b[2J", "\x9b31m", "\u202e", "\ud800", "\x7f", "a\nb"])
def test_json_keeps_its_value_and_steers_nothing(hostile: str) -> None:
    for indent in (None, 2):
        document = visible_json({hostile: [hostile, "최종"]}, indent=indent)
        assert all(character.isprintable() or character == "\n" for character in document)
        assert json.loads(document) == {hostile: [hostile, "최종"]}
        assert "최종" in document


def test_json_has_no_number_that_is_none() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        visible_json(float("nan"))


def test_text_is_utf_8_without_control_characters() -> None:
    assert is_text('{\n\t"name": "최종"\r\n}'.encode())
    assert not is_text(b"\x00\x01")
    assert not is_text(b"\xff\xfe")
    assert not is_text(b"\x1b[0m")
