"""The payload convention for entity changes: an event names its type, its time, the job and the fields."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, ClassVar
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializationInfo,
    ValidationInfo,
)
from pydantic.alias_generators import to_camel

TIME_ZONE = "time_zone"
"""Name of the entry in pydantic's validation and serialization context that holds a `tzinfo`."""

_WRITTEN_LENGTH = 19
_EPOCH = datetime.fromtimestamp(0, UTC)
_SECOND = timedelta(seconds=1)
_HASHABLE = (timezone, ZoneInfo)
_OF_CLASS = "what the class is called"
"""Marks the field whose default is each class's own."""


class JobType(StrEnum):
    """What happened to the entity."""

    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


def _zone(context: Any) -> tzinfo:
    zone = context.get(TIME_ZONE) if isinstance(context, dict) else None
    return zone if isinstance(zone, tzinfo) else UTC


@lru_cache(maxsize=1024)
def _in_utc(written: str) -> datetime:
    """Whole seconds, so that many events in a row have the same."""
    return datetime.fromisoformat(f"{written}+00:00")


def _read_timestamp(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str):
        if info.context is None and len(value) == _WRITTEN_LENGTH:
            try:  # Called for every event: suppress() takes as long as all the rest.
                return _in_utc(value)
            except ValueError:
                pass
        try:
            parsed = datetime.fromisoformat(value)  # Between date and time it takes any character.
        except ValueError:
            raise ValueError("the timestamp is not of the form 2022-08-08-12:12:37") from None
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=_zone(info.context))
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value / 1000, UTC)
        except (OverflowError, OSError, ValueError):
            raise ValueError("the timestamp is not a time in epoch milliseconds") from None
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=_zone(info.context))
    return value


def _write_timestamp(value: datetime, info: SerializationInfo) -> str:
    zone = _zone(info.context)
    if value.tzinfo is not UTC or type(zone) not in _HASHABLE:
        return _written(value, zone)
    # Events are mostly of now: the text of a second is made once for all of them.
    return _written_second((value - _EPOCH) // _SECOND, zone)


@lru_cache(maxsize=16)
def _written_second(second: int, zone: tzinfo) -> str:
    return _written(_EPOCH + second * _SECOND, zone)


def _written(value: datetime, zone: tzinfo) -> str:
    return value.astimezone(zone).isoformat("-", "seconds")[:_WRITTEN_LENGTH]


Timestamp = Annotated[
    datetime,
    BeforeValidator(_read_timestamp),
    PlainSerializer(_write_timestamp, return_type=str, when_used="json"),
]


class EntityEvent(BaseModel):
    """An entity changed: `eventType`, `timestamp`, `jobType`, then the subclass's fields, in that order.

    Fields are snake_case in Python and camelCase on the wire; both spellings validate, and fields that a newer
    producer adds are ignored. `event_type` defaults to the class's name; `class X(EntityEvent,
    event_type="Y")` sets another. `timestamp` is an aware datetime; on the wire it is text in whole seconds
    (`2022-08-08-12:12:37`) in the configured time zone, UTC by default; read are that form, a blank in place
    of the last dash, ISO 8601 and epoch milliseconds.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    wire_type: ClassVar[str] = "EntityEvent"

    event_type: Annotated[str, _OF_CLASS] = wire_type
    timestamp: Timestamp = Field(default_factory=lambda: datetime.now(UTC))
    job_type: JobType

    def __init_subclass__(cls, *, event_type: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.wire_type = event_type or cls.__name__

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        field = cls.model_fields["event_type"]
        if _OF_CLASS in field.metadata:  # A default for validators of C, not a hook: it would run for every event.
            field.default = cls.wire_type
            cls.model_rebuild(force=True, raise_errors=False)
