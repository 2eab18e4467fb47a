"""What a listener's arguments ask for, read from its annotations."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from sqlalchemy import inspect as inspect_mapped
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper, Session

from streambind.configuration.code_origin import code_origin
from streambind.configuration.finding import Finding, Origin, Severity
from streambind.inbound.listener import Header
from streambind.message import Message

REQUIRED = inspect.Parameter.empty


class Kind(Enum):
    """What fills an argument. The plurals are those of batch listeners."""

    PAYLOAD = auto()
    PAYLOADS = auto()
    MESSAGE = auto()
    MESSAGES = auto()
    HEADER = auto()
    SESSION = auto()


@dataclass(frozen=True, slots=True, eq=False)
class Argument:
    """One parameter. `annotation` is the type wanted, of one element for the plurals; `header` its name."""

    name: str
    kind: Kind
    annotation: Any
    keyword_only: bool = False
    header: str = ""
    default: Any = REQUIRED


@dataclass(slots=True)
class Signature:
    """A listener as its bindings see it. `mistakes` say what is wrong; with any, the rest is not to be used."""

    function: Callable[..., Any]
    arguments: list[Argument] = field(default_factory=list)
    is_async: bool = False
    returns_several: bool = False
    mistakes: list[Finding] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(_inner(self.function).__qualname__)

    @property
    def is_batch(self) -> bool:
        return any(a.kind in (Kind.PAYLOADS, Kind.MESSAGES) for a in self.arguments)

    @property
    def session(self) -> type[Session] | type[AsyncSession] | None:
        """The class of the session it asks for."""
        return next((a.annotation for a in self.arguments if a.kind is Kind.SESSION), None)

    @property
    def place(self) -> Origin:
        """File and line, for findings."""
        return code_origin(_inner(self.function))

    def wrong(self, text: str) -> None:
        """Record a mistake; `text` goes on after the function's name."""
        self.mistakes.append(Finding(Severity.ERROR, f"listener {self.name}: {text}", self.place))


def read_signature(function: Callable[..., Any]) -> Signature:
    """Never raises: what is wrong with the function stands in the result's `mistakes`."""
    signature = Signature(function, is_async=_is_async(function))
    inner = _inner(function)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        signature.wrong("it is a generator; return a value instead of yielding it")
        return signature
    try:
        hints = get_type_hints(inner, include_extras=True)
        parameters = inspect.signature(function).parameters.values()
    except NameError as error:
        signature.wrong(
            f"its annotations cannot be resolved: {error}. Import the name at run time, not under TYPE_CHECKING, "
            "and define it at the level of the module"
        )
        return signature
    except (TypeError, ValueError) as error:
        signature.wrong(f"its annotations cannot be read: {error}")
        return signature
    for parameter in parameters:
        _read(signature, parameter, hints.get(parameter.name, REQUIRED))
    _check_together(signature)
    returned = hints.get("return")
    signature.returns_several = get_origin(returned) is list
    return signature


def _read(signature: Signature, parameter: inspect.Parameter, annotation: Any) -> None:
    name = parameter.name
    if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        signature.wrong(
            f"argument *{name} cannot be filled; name the arguments, or give the decorator above functools.wraps"
        )
    elif annotation is REQUIRED:
        bound = " (a method: include an instance of its class, not the class)" if name in ("self", "cls") else ""
        signature.wrong(
            f"argument {name!r} has no annotation{bound}; annotate the event's type, Message, "
            'Annotated[str, Header("name")], Session or AsyncSession'
        )
    else:
        argument = _argument(signature, parameter, annotation)
        if argument is not None:
            signature.arguments.append(argument)


def _argument(signature: Signature, parameter: inspect.Parameter, annotation: Any) -> Argument | None:
    name, keyword_only = parameter.name, parameter.kind is inspect.Parameter.KEYWORD_ONLY
    if get_origin(annotation) is Annotated:
        for mark in annotation.__metadata__:
            if mark is Header or isinstance(mark, Header):
                header = mark.name if isinstance(mark, Header) and mark.name else name
                wanted = annotation.__origin__
                return Argument(name, Kind.HEADER, wanted, keyword_only, header, parameter.default)
    session = _session(annotation)
    if session is not None:
        if session is not annotation:
            signature.wrong(f"argument {name!r}: a session is always given; annotate {session.__name__} alone")
        _check_colour(signature, name, session)
        return Argument(name, Kind.SESSION, session, keyword_only)
    if (entity := _entity(annotation)) is not None:
        signature.wrong(f"argument {name!r}: {entity.__name__} is an entity; take an event class")
        return None
    if annotation is Message:
        return Argument(name, Kind.MESSAGE, Message, keyword_only)
    if annotation is list:
        signature.wrong(f"argument {name!r}: write list[X] for a batch of X, Sequence[X] for a payload of many X")
        return None
    if get_origin(annotation) is list:
        element = get_args(annotation)[0]
        kind = Kind.MESSAGES if element is Message else Kind.PAYLOADS
        return Argument(name, kind, element, keyword_only)
    return Argument(name, Kind.PAYLOAD, annotation, keyword_only)


def _check_colour(signature: Signature, name: str, session: type) -> None:
    if signature.is_async and not issubclass(session, AsyncSession):
        signature.wrong(
            f"argument {name!r}: an async def takes AsyncSession, a Session would block the event loop; "
            "annotate AsyncSession, or write def"
        )
    if not signature.is_async and issubclass(session, AsyncSession):
        signature.wrong(f"argument {name!r}: a def takes Session; annotate Session, or write async def")


def _check_together(signature: Signature) -> None:
    """At most one argument of a kind, and a batch listener takes nothing of single messages."""
    for kinds, what in (
        ((Kind.PAYLOAD, Kind.PAYLOADS), "payload"),
        ((Kind.SESSION,), "session"),
    ):
        names = [a.name for a in signature.arguments if a.kind in kinds]
        if len(names) > 1:
            signature.wrong(
                f"arguments {' and '.join(map(repr, names))} both take the {what}; "
                "keep one, or mark the others with Message or Header"
            )
    if signature.is_batch:
        for argument in signature.arguments:
            if argument.kind in (Kind.PAYLOAD, Kind.MESSAGE, Kind.HEADER):
                signature.wrong(
                    f"argument {argument.name!r} is of one message, but the listener takes batches; "
                    "take list[Message] beside list[X]: it carries the headers"
                )


def _session(annotation: Any) -> type[Session] | type[AsyncSession] | None:
    """The session class that the annotation names, also as one alternative of a union."""
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    for option in options:
        if isinstance(option, type) and option is not NoneType and issubclass(option, Session | AsyncSession):
            return option
    return None


def _entity(annotation: Any) -> type | None:
    """The mapped class that the annotation names, also within a list or a union."""
    if isinstance(annotation, type):
        return annotation if isinstance(inspect_mapped(annotation, raiseerr=False), Mapper) else None
    return next((entity for part in get_args(annotation) if (entity := _entity(part)) is not None), None)


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(_inner(function))


def _inner(function: Any) -> Any:
    """The function whose annotations count: inside partials, or the `__call__` of an object."""
    while isinstance(function, partial):
        function = function.func
    if inspect.isfunction(function) or inspect.ismethod(function) or inspect.isbuiltin(function):
        return function
    return type(function).__call__ if callable(function) else function
