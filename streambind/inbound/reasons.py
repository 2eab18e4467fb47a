"""Why a message failed, for a row of a table: without row data, bounded, and in characters that databases take."""

from __future__ import annotations

from streambind.persistence.failures import describe, message_of
from streambind.persistence.stack_trace import qualified_name

MAX_CLASS = 255
MAX_TEXT = 1024


def reason_of(error: BaseException) -> tuple[str, str]:
    """The class and the text of an error."""
    try:
        text = message_of(error)
    except Exception:  # noqa: BLE001 -- the exception is a listener's, its __str__ too.
        text = ""
    return kept_reason(qualified_name(type(error)), text)


def told(error: BaseException) -> str:
    """An error in one line, for the log and for status: nothing in it steers a terminal, or looks like a line of
    its own."""
    try:
        return describe(error)
    except Exception:  # noqa: BLE001 -- the exception is a listener's, its __str__ too.
        return type(error).__name__


def kept_reason(name: str, text: str) -> tuple[str, str]:
    """A class and a text as tables keep them."""
    return _kept(name, MAX_CLASS), _kept(text, MAX_TEXT)


def _kept(text: str, limit: int) -> str:
    kept = text.encode(errors="replace").decode().replace("\x00", "?")
    return kept if len(kept) <= limit else f"{kept[: limit - 3]}..."
