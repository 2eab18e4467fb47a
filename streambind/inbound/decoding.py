"""From a message's bytes to what a listener's annotation asks for."""

from __future__ import annotations

from datetime import tzinfo
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from streambind.conversion import Decoder, JsonDecoder, converter_for, decode_text
from streambind.errors import ConfigurationError, DecodeError, PermanentError
from streambind.headers import header_text
from streambind.inbound.arrival import Arrival
from streambind.inbound.limits import Limits
from streambind.message import CONTENT_TYPE

_ANYTHING = (Any, object)


class PayloadDecoder:
    """One annotation on one binding.

    The binding's contentType picks the converter. The message's own contentType is looked at only if that one
    fails, or if the annotation (`Any`, `object`) says nothing about what is wanted: reading headers costs.
    `str` and `bytes` are the text and the bytes, whatever the content type.

    Raises:
        ConfigurationError: there is no converter for the content type, or none to this type.
    """

    def __init__(
        self, annotation: Any, *, content_type: str, time_zone: tzinfo, limits: Limits, number: int = 0
    ) -> None:
        self.annotation = annotation
        self.limits = limits
        self.takes_null = takes_null(annotation)
        self._number = number
        self._content_type = content_type
        self._time_zone = time_zone
        self._others: dict[str, Decoder] = {}
        self._wanted = _without_null(annotation)
        self._is_fixed = self._wanted in (str, bytes)
        self.raw = self._decoder(content_type)
        """Bytes to value by the binding's contentType alone; raises something for None."""
        self.quick: Decoder = self.raw.validate if isinstance(self.raw, JsonDecoder) else self.raw
        """As `raw`, for the hot path: what it raises says only that `decode` should have a look. Holds nothing
        against the limits."""

    @property
    def is_plain(self) -> bool:
        """Whether `quick` decodes every message that it does not refuse rightly."""
        return not self.takes_null and self._wanted not in _ANYTHING

    def decode(self, arrival: Arrival) -> Any:
        """
        Raises:
            DecodeError: the bytes are not what the annotation asks for, or too many.
            PermanentError: the payload is null and the annotation does not take null.
        """
        payload = arrival.batch.payload(arrival.index)
        if payload is None:
            if self.takes_null:
                return None
            name = getattr(self.annotation, "__name__", None) or str(self.annotation)
            raise PermanentError(f"the payload is null (a tombstone); annotate {name} | None to take it")
        self.limits.check_payload(payload)
        if self._wanted in _ANYTHING:
            return self._by_header(arrival, None)(payload)
        try:
            return self.raw(payload)
        except DecodeError as error:
            if self._is_fixed:
                raise
            return self._by_header(arrival, error)(payload)

    def decode_once(self, arrival: Arrival) -> Any:
        """As `decode`, but listeners that ask for the same type get the same object."""
        decoded = arrival.decoded
        if self._number not in decoded:
            decoded[self._number] = self.decode(arrival)
        return decoded[self._number]

    def _by_header(self, arrival: Arrival, error: DecodeError | None) -> Decoder:
        """The decoder for the message's own content type, if that is another one than the binding's."""
        named = header_text(arrival.batch.raw_headers(arrival.index), CONTENT_TYPE)
        if named is None or named == self._content_type:
            if error is not None:
                raise error
            return self.raw
        if (known := self._others.get(named)) is not None:
            return known
        try:
            decoder = self._decoder(named)
        except ConfigurationError as unknown:
            if error is not None:
                raise error from unknown
            raise DecodeError(str(unknown)) from unknown
        if len(self._others) < 64:  # Content types are anyone's text.
            self._others[named] = decoder
        return decoder

    def _decoder(self, content_type: str) -> Decoder:
        if self._wanted is str:
            return decode_text
        if self._wanted is bytes:
            return _same_bytes
        return converter_for(content_type).decoder(self.annotation, self._time_zone)


def takes_null(annotation: Any) -> bool:
    """Whether the annotation allows None."""
    return annotation in (None, NoneType, *_ANYTHING) or NoneType in _alternatives(annotation)


def _without_null(annotation: Any) -> Any:
    """`X` for `X | None`; anything else stays as it is."""
    rest = [alternative for alternative in _alternatives(annotation) if alternative is not NoneType]
    return rest[0] if len(rest) == 1 else annotation


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, UnionType):
        return get_args(annotation)
    metadata = getattr(annotation, "__metadata__", None)
    return _alternatives(annotation.__origin__) if metadata is not None else ()


def _same_bytes(data: bytes) -> bytes:
    if data is None:
        raise DecodeError("the payload is null")
    return data
