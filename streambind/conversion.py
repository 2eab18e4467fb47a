"""Payloads to bytes and back, by content type.

A converter is found by the entry point group `streambind.converters`; streambind brings JSON, text and plain
bytes. Which one: the message's `contentType` header, else the binding's. A listener that asks for `str` or
`bytes` gets the text or the bytes whatever the content type; `Message` is never converted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import tzinfo
from functools import lru_cache, partial
from importlib.metadata import entry_points
from typing import Any, Protocol

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError
from pydantic_core import ErrorDetails, PydanticSerializationError, SchemaValidator, to_json

from streambind.errors import ConfigurationError, DecodeError, EncodeError
from streambind.event import TIME_ZONE
from streambind.visible import visible

Encoder = Callable[[object], bytes]
Decoder = Callable[[bytes], Any]

_MOST_SHOWN = 100
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Converter(Protocol):
    """One family of content types. Implementations hold no state and are called from any thread."""

    @property
    def content_types(self) -> tuple[str, ...]:
        """In lower case without parameters; `application/*+json` covers the structured suffix."""
        ...

    def encoder(self, time_zone: tzinfo) -> Encoder:
        """A function from payload to bytes; it raises EncodeError."""
        ...

    def decoder(self, annotation: Any, time_zone: tzinfo) -> Decoder:
        """A function from bytes to what the annotation asks for; it raises DecodeError. Called once per
        listener, when bindings are planned: a type that cannot be decoded raises ConfigurationError here."""
        ...


class JsonConverter:
    """JSON through pydantic: models, dataclasses, unions, dicts and plain values, UTF-8 unescaped.

    `str` and `bytes` payloads are sent as they are (they are taken for JSON already), as Spring does.
    """

    content_types = ("application/json", "application/*+json", "text/json")

    def encoder(self, time_zone: tzinfo) -> Encoder:
        context = {TIME_ZONE: time_zone}

        def encode(payload: object) -> bytes:
            # Looked for on the class: asking whether something is a BaseModel takes as long as writing it.
            serializer = getattr(type(payload), "__pydantic_serializer__", None)
            try:
                if serializer is not None:
                    json: bytes = serializer.to_json(payload, by_alias=True, context=context)
                    return json
                match payload:
                    case bytes():
                        return payload
                    case str():
                        return payload.encode()
                    case dict() | list() | int() | float() | None:
                        return to_json(payload, by_alias=True, context=context)
                    case _:
                        model: Any = type(payload)
                        adapter = _adapter(model)
                        return adapter.serializer.to_json(payload, by_alias=True, context=context)
            except PydanticSchemaGenerationError:
                raise EncodeError(
                    f"a {type(payload).__name__} has no JSON form; give an event, another pydantic model, a "
                    "dataclass, dict, list, str or bytes"
                ) from None
            except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
                raise EncodeError(f"a {type(payload).__name__} has no JSON form: {error}") from error

        return encode

    def decoder(self, annotation: Any, time_zone: tzinfo) -> Decoder:
        return JsonDecoder(annotation, time_zone)


class JsonDecoder:
    """A `Decoder`. `validate` decodes what is right without a function of Python's in between, and raises anything
    else than DecodeError for what it does not take; then a call tells more."""

    __slots__ = ("_name", "validate")

    def __init__(self, annotation: Any, time_zone: tzinfo) -> None:
        self._name = getattr(annotation, "__name__", None) or str(annotation)
        validate = _validate_json(annotation)
        # UTC is what events take where there is no context, and keyword arguments cost a tenth of the time.
        is_utc = str(time_zone) == "UTC"
        self.validate: Decoder = validate if is_utc else partial(validate, context={TIME_ZONE: time_zone})

    def __call__(self, data: bytes) -> Any:
        try:
            return self.validate(data)
        except ValidationError as error:
            if data.startswith(_BYTE_ORDER_MARK) and not data.startswith(_BYTE_ORDER_MARK * 2):
                return self(data[len(_BYTE_ORDER_MARK) :])
            # Not `from error`: that one holds the values.
            raise DecodeError(f"the payload cannot be read as {self._name}: {reasons(error)}") from None


class TextConverter:
    """UTF-8 text."""

    content_types = ("text/plain",)

    def encoder(self, time_zone: tzinfo) -> Encoder:
        def encode(payload: object) -> bytes:
            if isinstance(payload, bytes):
                return payload
            if isinstance(payload, str):
                return payload.encode()
            raise EncodeError(
                f"text/plain carries str, not {type(payload).__name__}; set the binding's contentType"
            )

        return encode

    def decoder(self, annotation: Any, time_zone: tzinfo) -> Decoder:
        if annotation in (str, Any, object):
            return decode_text
        # Text that is asked for as a model is taken for JSON: services that forget the content type exist.
        return JsonConverter().decoder(annotation, time_zone)


class BytesConverter:
    """Bytes as they are."""

    content_types = ("application/octet-stream",)

    def encoder(self, time_zone: tzinfo) -> Encoder:
        def encode(payload: object) -> bytes:
            if isinstance(payload, bytes | bytearray | memoryview):
                return bytes(payload)
            raise EncodeError(
                f"application/octet-stream carries bytes, not {type(payload).__name__}; "
                "set the binding's contentType"
            )

        return encode

    def decoder(self, annotation: Any, time_zone: tzinfo) -> Decoder:
        if annotation in (bytes, Any, object):
            return bytes
        return JsonConverter().decoder(annotation, time_zone)


JSON = JsonConverter()
TEXT = TextConverter()
BYTES = BytesConverter()


def decode_text(data: bytes) -> str:
    """
    Raises:
        DecodeError: the bytes are not UTF-8.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DecodeError(f"the payload is not UTF-8 text: {error.reason} at byte {error.start}") from None


@lru_cache(maxsize=1)
def converters() -> Mapping[str, Converter]:
    """All installed converters by content type, streambind's own first; a later one cannot replace them."""
    found: dict[str, Converter] = {}
    for converter in (JSON, TEXT, BYTES):
        found.update(dict.fromkeys(converter.content_types, converter))
    for point in entry_points(group="streambind.converters"):
        installed: Converter = point.load()
        for content_type in installed.content_types:
            found.setdefault(content_type, installed)
    return found


def converter_for(content_type: str) -> Converter:
    """The converter for a content type, parameters and quotes ignored.

    Raises:
        ConfigurationError: no installed converter knows it.
    """
    known = converters()
    name = content_type.strip().strip('"').partition(";")[0].strip().lower()
    family, _, subtype = name.partition("/")
    found = known.get(name)
    if found is None and "+" in subtype:
        found = known.get(f"{family}/*+{subtype.rpartition('+')[2]}")
    if found is None:
        raise ConfigurationError(
            f"no converter for contentType {content_type!r}; known are {', '.join(sorted(known))}. "
            "A package can bring one by an entry point of the group streambind.converters"
        )
    return found


@lru_cache(maxsize=512)
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


def _validate_json(annotation: Any) -> Callable[..., Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        validator = annotation.__pydantic_validator__
        if isinstance(validator, SchemaValidator):
            return validator.validate_json
    try:
        return _adapter(annotation).validator.validate_json
    except PydanticSchemaGenerationError as error:
        raise ConfigurationError(
            f"a payload cannot be read as {annotation.__name__ if isinstance(annotation, type) else annotation}; "
            "take an event class, another pydantic model, a dataclass, dict, str, bytes or Message"
        ) from error
    except Exception as error:
        raise ConfigurationError(f"a payload cannot be read as {annotation!r}: {error}") from error


def reasons(error: ValidationError) -> str:
    """The first reasons, field by field, without the values: they may be anyone's data. The names of fields may be
    anyone's too: they are shortened, and steer no terminal."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [": ".join([_place(d)] * bool(d["loc"]) + [_reason(d)]) for d in details[:3]]
    if len(details) > 3:
        shown.append(f"and {len(details) - 3} more")
    return "; ".join(shown)


def _place(detail: ErrorDetails) -> str:
    place = visible(".".join(str(part)[:_MOST_SHOWN] for part in detail["loc"]))
    return place if len(place) <= _MOST_SHOWN else f"{place[:_MOST_SHOWN]}..."


def _reason(detail: ErrorDetails) -> str:
    # The message of this one quotes the value.
    return "no such tag" if detail["type"] == "union_tag_invalid" else detail["msg"]
