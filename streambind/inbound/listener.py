"""The marks that listeners carry: `@stream_listener`, `@send_to`, `Header`.

A mark does nothing but name a binding. The application collects marks from what it is told to include; a
function that no application includes is an ordinary function.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

from streambind.errors import ConfigurationError
from streambind.message import Message

F = TypeVar("F", bound=Callable[..., Any])

Condition = Callable[[Message], bool]

_LISTENS = "__streambind_listens__"
_SENDS = "__streambind_sends__"


@dataclass(frozen=True, slots=True)
class Header:
    """Marks an argument that takes a header: `type: Annotated[str, Header("type")]`; without a name the
    header has the argument's."""

    name: str | None = None


@dataclass(frozen=True, slots=True)
class SendTo:
    """Where a listener's result goes, and under which key."""

    binding: str
    key: Callable[[Any], object] | None


@dataclass(frozen=True, slots=True)
class ListenerMark:
    """One function at one binding. Marks of the same function, binding and condition are equal, so that a
    function which two included modules name is called once."""

    function: Callable[..., Any]
    binding: str
    condition: Condition | str | None = None
    reply: SendTo | None = None


@dataclass(frozen=True, slots=True)
class _Listens:
    binding: str
    condition: Condition | str | None


def stream_listener(binding: str, *, condition: Condition | str | None = None) -> Callable[[F], F]:
    """Mark a function, `def` or `async def`, as a listener of an input binding. May be given several times.

    Arguments are filled by annotation: one payload of any type (`X | None` takes tombstones too), `Message`,
    `Annotated[str, Header("type")]`, and `Session` in a `def` or `AsyncSession` in an `async def`;
    `list[X]` takes a batch. With a session the effect happens exactly once, without it at least once. When the
    function returns, the message is done; when it raises, it is not. `session.commit()` in it commits nothing
    for good: its effects and the position are committed together, later.

    `condition`: a function of the Message, or Spring's expression as text, such as
    `headers['type'] == 'LectureCategoryChanged'`. Every listener whose condition holds is called, in the order
    of declaration.
    """

    def mark(function: F) -> F:
        # Decorators apply from the bottom up; the upper one is declared first.
        _attach(function, _LISTENS, (_Listens(binding, condition), *getattr(function, _LISTENS, ())))
        return function

    return mark


def send_to(binding: str, *, key: Callable[[Any], object] | None = None) -> Callable[[F], F]:
    """Mark a listener whose result is sent to an output binding; None sends nothing.

    A function that is annotated to return `list[X]` sends each element as a message of its own. With a session
    the messages are written in the handler's transaction, otherwise the broker has confirmed them before the
    handled message counts as done. `key` makes a message's key from it; without one it gets the key of the
    message that was handled, so that order per key carries over.
    """

    def mark(function: F) -> F:
        _attach(function, _SENDS, SendTo(binding, key))
        return function

    return mark


def listeners_of(source: object) -> list[ListenerMark]:
    """The marks of a function, of all functions that a module's names refer to, or of an object's methods.

    In the order of declaration. Methods come bound: give an instance, not its class.

    Raises:
        ConfigurationError: a function is marked with `@send_to` alone.
    """
    if not isinstance(source, type) and _is_marked(source):
        return _marks(source)
    if isinstance(source, ModuleType):
        functions = [value for value in vars(source).values() if not isinstance(value, type) and _is_marked(value)]
        return [mark for function in dict.fromkeys(functions) for mark in _marks(function)]
    owner = source if isinstance(source, type) else type(source)
    names = dict.fromkeys(name for cls in reversed(owner.__mro__) for name in vars(cls))
    methods = [getattr(source, name) for name in names if _is_marked_method(owner, name)]
    return [mark for method in methods for mark in _marks(method)]


def _attach(function: Any, attribute: str, value: object) -> None:
    try:
        setattr(function, attribute, value)
    except AttributeError:
        raise TypeError(
            f"{function!r} cannot be marked; decorate the function itself, not a bound method"
        ) from None


def _marks(function: Any) -> list[ListenerMark]:
    # A decorator above the mark has copied it to its wrapper: the function is the one found, not the one marked.
    reply: SendTo | None = getattr(function, _SENDS, None)
    listens: tuple[_Listens, ...] = getattr(function, _LISTENS, ())
    if not listens and reply is not None:
        name = getattr(function, "__qualname__", repr(function))
        raise ConfigurationError(
            f"{name} is marked with @send_to({reply.binding!r}), but listens to nothing; "
            "add @stream_listener(...), or send with stream.bridge.send() or publish()"
        )
    return [ListenerMark(function, m.binding, m.condition, reply) for m in listens]


def _is_marked(value: object) -> bool:
    # Not by getattr: an object with a __getattr__ would answer anything.
    owner = value.__func__ if inspect.ismethod(value) else value
    listens, sends = (inspect.getattr_static(owner, name, None) for name in (_LISTENS, _SENDS))
    return callable(value) and (isinstance(listens, tuple) or isinstance(sends, SendTo))


def _is_marked_method(owner: type, name: str) -> bool:
    found = inspect.getattr_static(owner, name, None)
    if isinstance(found, staticmethod | classmethod):
        found = found.__func__
    return not isinstance(found, type) and _is_marked(found)
