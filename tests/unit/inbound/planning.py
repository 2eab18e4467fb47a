"""Input bindings for unit tests: without a database unless a test brings one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streambind.configuration.properties import BindingProperties, ConsumerProperties
from streambind.errors import ConfigurationError
from streambind.event_loop import EventLoop
from streambind.inbound.input import InputPlan
from streambind.inbound.listener import ListenerMark, listeners_of
from streambind.inbound.surroundings import Surroundings

LOOP = EventLoop()
"""Starts its thread with the first async listener; a daemon."""


def plan(*listeners: Callable[..., Any], surroundings: dict[str, Any] | None = None, **settings: Any) -> InputPlan:
    """The input binding `in-things` of marked or plain listeners; `settings` are the consumer's, but for
    `content_type` and `group`."""
    top = {name: settings.pop(name) for name in ("content_type", "group") if name in settings}
    properties = BindingProperties(destination="things", consumer=ConsumerProperties(**settings), **top)
    marks: list[ListenerMark] = []
    for listener in listeners:
        marks += listeners_of(listener) or [ListenerMark(listener, "in-things")]
    around = Surroundings(**{"loop": LOOP, **(surroundings or {})})
    return InputPlan.build("in-things", properties, listeners=marks, surroundings=around)


def mistakes(*listeners: Callable[..., Any], **settings: Any) -> str:
    """The texts of what is wrong with the listeners, one a line."""
    with pytest.raises(ConfigurationError) as raised:
        plan(*listeners, **settings)
    return "\n".join(str(finding) for finding in raised.value.findings)


class Seen(list[Any]):
    """What listeners saw."""

    def one(self) -> Any:
        assert len(self) == 1, self
        return self[0]

    def take(self) -> Iterator[Any]:
        taken = list(self)
        self.clear()
        return iter(taken)
