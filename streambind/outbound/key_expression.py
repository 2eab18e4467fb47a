"""Keys that a file chooses: `messageKeyExpression`, for messages that code gives no key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic_core import from_json

from streambind.errors import EncodeError
from streambind.expression import compile_expression
from streambind.outbound.keys import key_bytes


@dataclass(frozen=True, slots=True)
class _Sent:
    headers: Mapping[str, object]
    payload: bytes | None

    @property
    def document(self) -> object:
        try:
            return None if self.payload is None else from_json(self.payload)
        except ValueError as error:
            raise EncodeError(f"messageKeyExpression reads the payload, which is not JSON: {error}") from None


class KeyExpression:
    """Spring's expression over the headers and the encoded payload of a message that is sent.

    Raises:
        ConfigurationError: the text is not such an expression; the error names the column.
    """

    def __init__(self, text: str) -> None:
        self._expression = compile_expression(text)

    def key(self, payload: bytes | None, headers: Mapping[str, object]) -> bytes | None:
        """The key of a message; None if the expression gives null.

        Raises:
            EncodeError: the expression reads a payload that is not JSON.
            CaptureError: the value cannot be a key.
        """
        return key_bytes(self._expression(_Sent(headers, payload)))
