"""The key of a row, read from the key of a message: what a tombstone leaves to go by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from streambind.conversion import reasons
from streambind.errors import PermanentError
from streambind.inbound.replica_columns import Source

KeyReader = Callable[[bytes | None], tuple[Any, ...]]


def key_reader(event: type[BaseModel], sources: Sequence[Source]) -> KeyReader:
    """Reads the keys that `@publishes` writes by default: a primary key's text, a composite one as a JSON array,
    of fields in this order. The function raises PermanentError for a key that is none of these."""
    fields = [source for source in sources if isinstance(source, str)]
    if len(fields) < len(sources):
        return _refuse
    types = [_type(event, name) for name in fields]
    read = _text_reader(types[0]) if len(types) == 1 else _array_reader(types)

    def read_key(key: bytes | None) -> tuple[Any, ...]:
        if key is None:
            raise PermanentError("the message has neither payload nor key: which row it is about is not known")
        try:
            return read(key)
        except ValidationError as error:
            # Not `from error`: that one holds the values.
            text = f"the message has no payload, and its key is not that of a row: {reasons(error)}"
            raise PermanentError(text) from None
        except UnicodeDecodeError:
            raise PermanentError("the message has no payload, and its key is not UTF-8 text") from None

    return read_key


def _refuse(_: bytes | None) -> tuple[Any, ...]:
    raise PermanentError(
        "the message has no payload, and the row's key is computed from it (transform=): which row it is about is "
        "not known; let the publisher send DELETE events (producer.deletes: event)"
    )


def _type(event: type[BaseModel], name: str) -> Any:
    info = event.model_fields[name]
    annotation: Any = info.annotation
    for constraint in info.metadata:
        annotation = Annotated[annotation, constraint]
    return annotation


def _text_reader(annotation: Any) -> Callable[[bytes], tuple[Any, ...]]:
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    if annotation is bytes:
        return lambda key: (key,)
    return lambda key: (adapter.validate_strings(key.decode()),)


def _array_reader(types: Sequence[Any]) -> Callable[[bytes], tuple[Any, ...]]:
    adapter: TypeAdapter[tuple[Any, ...]] = TypeAdapter(tuple[tuple(types)])  # type: ignore[misc, arg-type]
    return lambda key: adapter.validate_json(key)
