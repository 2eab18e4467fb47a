"""Marks: what the decorators leave behind, and where they are found."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import pytest

from streambind.errors import ConfigurationError
from streambind.inbound.listener import ListenerMark, SendTo, listeners_of, send_to, stream_listener


def test_a_marked_function_stays_the_function_it_was() -> None:
    def handle(event: dict[str, object]) -> int:
        return len(event)

    assert stream_listener("in-a")(handle) is handle
    assert handle({"a": 1}) == 1


def test_a_function_may_listen_to_several_bindings_the_upper_mark_first() -> None:
    @stream_listener("in-a")
    @stream_listener("in-b", condition="headers['type'] == 'X'")
    def handle(event: dict[str, object]) -> None: ...

    assert listeners_of(handle) == [
        ListenerMark(handle, "in-a"),
        ListenerMark(handle, "in-b", "headers['type'] == 'X'"),
    ]


def test_send_to_may_stand_above_or_below() -> None:
    @send_to("out-x", key=str)
    @stream_listener("in-a")
    def above(event: str) -> str:
        return event

    @stream_listener("in-a")
    @send_to("out-x", key=str)
    def below(event: str) -> str:
        return event

    assert [m.reply for m in listeners_of(above) + listeners_of(below)] == [SendTo("out-x", str)] * 2


def test_an_unmarked_function_has_no_marks() -> None:
    def handle(event: str) -> None: ...

    assert listeners_of(handle) == []


def test_a_module_gives_its_functions_in_the_order_of_declaration_each_once() -> None:
    module = types.ModuleType("handlers")

    @stream_listener("in-a")
    def second(event: str) -> None: ...

    @stream_listener("in-a")
    def first(event: str) -> None: ...

    vars(module).update(zz=first, aa=second, again=first, other=42, kind=_Methods)

    assert [mark.function for mark in listeners_of(module)] == [first, second]


class _Methods:
    def __init__(self) -> None:
        self.seen: list[str] = []

    @stream_listener("in-a")
    def handle(self, event: str) -> None:
        self.seen.append(event)

    @staticmethod
    @stream_listener("in-b")
    def stateless(event: str) -> None: ...

    @property
    def never_asked(self) -> str:
        raise AssertionError("collecting marks must not run properties")


def test_an_object_gives_its_methods_bound() -> None:
    handlers = _Methods()

    marks = listeners_of(handlers)
    marks[0].function("x")

    assert [mark.binding for mark in marks] == ["in-a", "in-b"]
    assert handlers.seen == ["x"]
    assert listeners_of(handlers.handle) == marks[:1]


def test_an_inherited_method_that_is_overridden_is_called_once() -> None:
    class Special(_Methods):
        @stream_listener("in-a")
        def handle(self, event: str) -> None: ...

    assert [mark.binding for mark in listeners_of(Special())] == ["in-a", "in-b"]


def test_a_decorator_above_the_mark_is_called_too() -> None:
    def loud(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any) -> Any:
            return function(*args)

        return wrapper

    @loud
    @stream_listener("in-a")
    def handle(event: str) -> None: ...

    assert [mark.function for mark in listeners_of(handle)] == [handle]


def test_an_object_that_can_be_called_is_a_listener() -> None:
    class Handler:
        def __call__(self, event: str) -> None: ...

    handler = stream_listener("in-a")(Handler())

    assert listeners_of(handler) == [ListenerMark(handler, "in-a")]


def test_a_bound_method_cannot_be_marked() -> None:
    with pytest.raises(TypeError, match="decorate the function itself"):
        stream_listener("in-a")(_Methods().handle)


def test_a_reply_without_a_listener_is_a_mistake() -> None:
    module = types.ModuleType("handlers")

    @send_to("out-x")
    def forgotten(event: str) -> str:
        return event

    vars(module).update(forgotten=forgotten)

    for source in (forgotten, module):
        with pytest.raises(ConfigurationError, match=r"forgotten is marked with @send_to\('out-x'\)"):
            listeners_of(source)


def test_objects_that_answer_to_any_name_are_not_taken_for_listeners() -> None:
    class Anything:
        def __getattr__(self, name: str) -> Any:
            return self

        def __call__(self) -> None: ...

    module = types.ModuleType("handlers")
    vars(module).update(proxy=Anything())

    assert listeners_of(module) == []
    assert listeners_of(Anything()) == []
