"""Budget and back-off."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import IntegrityError

from streambind.configuration.properties import ConsumerProperties
from streambind.errors import (
    CaptureError,
    DecodeError,
    EncodeError,
    PermanentError,
    RetriableError,
    SequenceGapError,
)
from streambind.inbound.retry import Budget, names_exception, trouble_delay_ms
from streambind.persistence.stack_trace import qualified_name


def budget(**properties: Any) -> Budget:
    return Budget.of(ConsumerProperties(**properties))


def test_the_defaults_are_those_of_spring() -> None:
    assert [budget().delay_ms(attempt) for attempt in (1, 2, 3, 4, 5, 6)] == [1000, 2000, 4000, 8000, 10000, 10000]
    assert [budget().allows_another(attempt, ValueError()) for attempt in (1, 2, 3)] == [True, True, False]


def test_one_attempt_is_no_retry() -> None:
    assert not budget(max_attempts=1).allows_another(1, RetriableError())


@given(st.integers(1, 10_000), st.integers(0, 10**6), st.floats(1, 1e6), st.integers(0, 10**7))
def test_pauses_grow_up_to_the_limit(attempt: int, initial: int, multiplier: float, limit: int) -> None:
    properties = budget(
        back_off_initial_interval_ms=initial, back_off_multiplier=multiplier, back_off_max_interval_ms=limit
    )

    assert 0 <= properties.delay_ms(attempt) <= properties.delay_ms(attempt + 1) <= limit


def _validation_error() -> ValidationError:
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(int).validate_python("x")
    return raised.value


class _Coded(Exception):
    def __init__(self, sqlstate: str) -> None:
        self.sqlstate = sqlstate


def _integrity(orig: Exception) -> IntegrityError:
    return IntegrityError("INSERT", {}, orig)


@pytest.mark.parametrize(
    ("error", "retriable"),
    [
        (ValueError("x"), True),
        (TimeoutError(), True),
        (OSError(), True),
        (RetriableError(), True),
        (PermanentError(), False),
        (DecodeError(), False),
        (EncodeError(), False),
        (CaptureError("there is no output binding 'out-typo'"), False),
        (SequenceGapError(), False),
        (_validation_error(), False),
        (TypeError(), False),
        (KeyError("x"), False),
        (IndexError(), False),
        (AttributeError(), False),
        (NameError(), False),
        (NotImplementedError(), False),
        (_integrity(_Coded("23505")), False),
        (_integrity(_Coded("23503")), True),
        (_integrity(Exception("UNIQUE constraint failed: thing.name")), False),
        (_integrity(Exception("FOREIGN KEY constraint failed")), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_no_repetition_mends_is_not_repeated(error: Exception, retriable: bool) -> None:
    assert budget().is_retriable(error) is retriable


class Own(KeyError): ...


def test_named_exceptions_win_the_nearest_class_first() -> None:
    own = qualified_name(Own)
    named = budget(retryable_exceptions={"KeyError": True, "ValueError": False, own: False, "Exception": True})

    assert named.is_retriable(KeyError())
    assert not named.is_retriable(ValueError())
    assert not named.is_retriable(Own())
    assert named.is_retriable(TypeError())


def test_default_retryable_false_leaves_only_what_says_so() -> None:
    strict = budget(default_retryable=False)

    assert not strict.is_retriable(ValueError())
    assert strict.is_retriable(RetriableError())


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_trouble_is_waited_for_from_a_tenth_of_a_second_to_half_a_minute(times: int, random: float) -> None:
    full = trouble_delay_ms(times, 0)

    assert 100 <= full <= 30_000
    assert full / 2 - 1 <= trouble_delay_ms(times, random) <= full
    assert trouble_delay_ms(times, 0.5) == full * 3 // 4
    assert trouble_delay_ms(times, 1) == full // 2


def test_trouble_is_waited_for_twice_as_long_each_time() -> None:
    assert [trouble_delay_ms(times, 0) for times in (1, 2, 3, 9, 10)] == [100, 200, 400, 25_600, 30_000]


@pytest.mark.parametrize(
    ("name", "is_known"),
    [
        ("ValueError", True),
        ("sqlalchemy.exc.IntegrityError", True),
        (qualified_name(Own), True),
        ("java.lang.IllegalStateException", False),
        ("int", False),
        ("sqlalchemy.exc.NoSuchError", False),
        ("", False),
        ("..", False),
    ],
)
def test_names_of_exceptions_are_looked_up_in_what_is_loaded(name: str, is_known: bool) -> None:
    assert names_exception(name) is is_known


def test_what_counts_as_a_mistake_of_the_handler_is_said_to() -> None:
    because = (
        "tried once: LookupError counts as a mistake of the handler; consumer.retryable-exceptions changes that"
    )

    assert budget().tried(1, KeyError("id")) == because
    assert budget(max_attempts=1).tried(1, KeyError("id")) == "tried once"
    assert budget(retryable_exceptions={"KeyError": False}).tried(1, KeyError("id")) == "tried once"
    assert budget().tried(1, PermanentError()) == budget().tried(1, DecodeError()) == "tried once"
    assert budget().tried(3, ValueError()) == "tried 3 times"
