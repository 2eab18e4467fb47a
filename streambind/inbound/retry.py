"""Whether a failed message is tried again, and when (pure)."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError, IntegrityError

from streambind.configuration.properties import ConsumerProperties
from streambind.errors import (
    CaptureError,
    CircleError,
    ConversionError,
    DeliveryError,
    HandlerError,
    RetriableError,
)
from streambind.persistence.failures import state_of
from streambind.persistence.stack_trace import qualified_name

_UNFIT = (CircleError, CaptureError, ConversionError, DeliveryError)
"""What no repetition mends: it is the message that does not fit."""

_MISTAKES = (ValidationError, TypeError, LookupError, AttributeError, NameError, NotImplementedError)
"""What most likely is a mistake of the handler, which no repetition mends either."""

_FOREIGN_KEY = "23503"

TROUBLE_FIRST_MS = 100
TROUBLE_MAX_MS = 30_000


@dataclass(frozen=True, slots=True)
class Budget:
    """How often a message is tried in all, and how long the pauses between are."""

    max_attempts: int
    initial_ms: int
    max_ms: int
    multiplier: float
    default_retryable: bool
    retryable: Mapping[str, bool]

    @staticmethod
    def of(properties: ConsumerProperties) -> Budget:
        return Budget(
            max_attempts=properties.max_attempts,
            initial_ms=properties.back_off_initial_interval_ms,
            max_ms=properties.back_off_max_interval_ms,
            multiplier=properties.back_off_multiplier,
            default_retryable=properties.default_retryable,
            retryable=properties.retryable_exceptions,
        )

    def delay_ms(self, attempt: int) -> int:
        """The pause after the `attempt`-th failed try, counted from 1."""
        try:
            delay = self.initial_ms * math.pow(self.multiplier, attempt - 1)
        except OverflowError:
            return self.max_ms
        return round(min(delay, self.max_ms))

    def allows_another(self, attempt: int, error: Exception) -> bool:
        """Whether a message that failed for the `attempt`-th time is tried once more."""
        return attempt < self.max_attempts and self.is_retriable(error)

    def is_retriable(self, error: Exception) -> bool:
        """Named in `retryableExceptions` (the nearest class of its line counts), else what the error says of
        itself, else what is known of its kind, else `defaultRetryable`."""
        named = self._named(error)
        if named is not None:
            return named
        if isinstance(error, HandlerError):
            return isinstance(error, RetriableError)
        if isinstance(error, _UNFIT + _MISTAKES):
            return False
        if isinstance(error, IntegrityError):
            return _is_missing_parent(error)
        return self.default_retryable

    def tried(self, times: int, error: Exception) -> str:
        """How often a message was tried that ended with this error; and why no more, where that may be wrong."""
        text = f"tried {times} times" if times > 1 else "tried once"
        said = self._named(error) is not None or isinstance(error, (HandlerError, *_UNFIT))
        kind = next((kind for kind in _MISTAKES if isinstance(error, kind)), None)
        if times >= self.max_attempts or said or kind is None:
            return text
        return (
            f"{text}: {qualified_name(kind)} counts as a mistake of the handler; "
            "consumer.retryable-exceptions changes that"
        )

    def _named(self, error: Exception) -> bool | None:
        named = (self.retryable.get(qualified_name(kind)) for kind in type(error).__mro__)
        return next((each for each in named if each is not None), None)


def names_exception(name: str) -> bool:
    """Whether the name is that of an exception class of a module that is loaded."""
    module, _, attribute = name.rpartition(".")
    while module and module not in sys.modules:
        module, _, outer = module.rpartition(".")
        attribute = f"{outer}.{attribute}"
    found: object = sys.modules[module or "builtins"]
    for part in attribute.split("."):
        found = getattr(found, part, None)
    return isinstance(found, type) and issubclass(found, BaseException)


def trouble_delay_ms(times: int, random: float) -> int:
    """The pause after trouble that came `times` times in a row: doubling from 0.1 s to 30 s, shortened at
    random (`random` in 0..1) by up to a half, so that many instances do not come back at once."""
    delay = min(TROUBLE_FIRST_MS << min(times - 1, 20), TROUBLE_MAX_MS)
    return round(delay * (1 - random / 2))


def _is_missing_parent(error: DBAPIError) -> bool:
    """A foreign key without its parent row: the parent may still be on its way."""
    state = state_of(error)
    return state == _FOREIGN_KEY or (state is None and "FOREIGN KEY" in str(error.orig))
