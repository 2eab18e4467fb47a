"""The argument plan: each listener of a binding compiled, once, into one closure."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from streambind.configuration.finding import Finding, Origin
from streambind.errors import ConfigurationError, PermanentError
from streambind.event_loop import await_result
from streambind.expression import compile_condition
from streambind.inbound.arrival import Arrival
from streambind.inbound.decoding import PayloadDecoder
from streambind.inbound.failure import MessageFailed
from streambind.inbound.limits import Limits
from streambind.inbound.listener import Condition, ListenerMark, SendTo
from streambind.inbound.replica_plan import ReplicaPlan
from streambind.inbound.signature import REQUIRED, Argument, Kind, Signature, read_signature
from streambind.message import Batch
from streambind.read_ahead import Reader

Fill = Callable[[Arrival], Any]
FillMany = Callable[[Sequence[Arrival]], Any]


@dataclass(slots=True, eq=False, kw_only=True)
class ListenerPlan:
    """One listener, ready to be called: a function, or a replica.

    `call` takes one message, `call_many` several of one partition, in order; one of them is there, or both. They
    block until an `async def` is through, which needs `EventLoop.call` around them. `is_async` is None if the
    listener goes with either kind. `session` is the class of the session that it is to be given. `plain` is there
    if nothing but payloads is asked for: their decoder, and the function that takes them; `replica` if it is one.
    `call_alone` takes the indexes of messages that no other listener gets, and the session, in place of
    `call_many`; with a `reader` it makes use of what that has read ahead.
    """

    name: str
    place: Origin
    matches: Callable[[Arrival], bool] | None
    takes_null: bool
    call: Callable[[Arrival], Any] | None
    call_many: Callable[[Sequence[Arrival]], Any] | None
    is_async: bool | None
    session: type[Session] | type[AsyncSession] | None
    reply: SendTo | None = None
    returns_several: bool = False
    plain: tuple[PayloadDecoder, Callable[..., Any]] | None = None
    replica: ReplicaPlan | None = None
    call_alone: Callable[[Batch, Sequence[int], Any], None] | None = None
    reader: Reader | None = None


class Planner:
    """Plans the listeners of one binding; those that ask for the same type share its decoder."""

    def __init__(self, *, content_type: str, time_zone: tzinfo, limits: Limits) -> None:
        self.findings: list[Finding] = []
        self._content_type = content_type
        self._time_zone = time_zone
        self._limits = limits
        self._decoders: dict[Any, PayloadDecoder] = {}

    def plan(self, mark: ListenerMark, *, shared: bool) -> ListenerPlan | None:
        """None, and `findings`, if the listener cannot be called. `shared`: other listeners of the binding may
        want the same message."""
        signature = read_signature(mark.function)
        matches = condition_of(mark.condition, signature.wrong)
        fills: dict[Argument, Fill] = {}
        fills_many: dict[Argument, FillMany] = {}
        for argument in signature.arguments:
            try:
                if argument.kind in (Kind.PAYLOADS, Kind.MESSAGES) or signature.is_batch:
                    fills_many[argument] = self._fill_many(argument)
                else:
                    fills[argument] = self._fill(argument, shared)
            except (ConfigurationError, PydanticUserError, TypeError) as error:
                signature.wrong(f"argument {argument.name!r}: {error}")
        if signature.mistakes:
            self.findings += signature.mistakes
            return None
        payloads = [a for a in signature.arguments if a.kind in (Kind.PAYLOAD, Kind.PAYLOADS)]
        is_plain = len(signature.arguments) == len(payloads) == 1
        return ListenerPlan(
            name=f"listener {signature.name}",
            place=signature.place,
            matches=matches,
            takes_null=all(self.decoder(a.annotation).takes_null for a in payloads),
            call=None if signature.is_batch else _caller(signature, fills),
            call_many=_caller(signature, fills_many) if signature.is_batch else None,
            is_async=signature.is_async,
            session=signature.session,
            reply=mark.reply,
            returns_several=signature.returns_several,
            plain=(self.decoder(payloads[0].annotation), mark.function) if is_plain else None,
        )

    def decoder(self, annotation: Any) -> PayloadDecoder:
        # By repr too: 1 and True, or two annotations that differ in metadata, may be equal.
        key = (repr(annotation), annotation) if _is_hashable(annotation) else repr(annotation)
        if key not in self._decoders:
            self._decoders[key] = PayloadDecoder(
                annotation,
                content_type=self._content_type,
                time_zone=self._time_zone,
                limits=self._limits,
                number=len(self._decoders),
            )
        return self._decoders[key]

    def _fill(self, argument: Argument, shared: bool) -> Fill:
        match argument.kind:
            case Kind.PAYLOAD:
                decoder = self.decoder(argument.annotation)
                return decoder.decode_once if shared else decoder.decode
            case Kind.MESSAGE:
                return lambda arrival: arrival.message
            case Kind.SESSION:
                return lambda arrival: arrival.session
            case _:
                return _header(argument)

    def _fill_many(self, argument: Argument) -> FillMany:
        match argument.kind:
            case Kind.PAYLOADS:
                return _payloads(self.decoder(argument.annotation))
            case Kind.MESSAGES:
                return lambda arrivals: [arrival.message for arrival in arrivals]
            case _:
                return lambda arrivals: arrivals[0].session


def condition_of(
    condition: Condition | str | None, wrong: Callable[[str], None]
) -> Callable[[Arrival], bool] | None:
    """Whether a message concerns a listener, as one function; None if every one does. `wrong` is told mistakes."""
    if condition is None:
        return None
    if not isinstance(condition, str):
        if inspect.iscoroutinefunction(condition):
            wrong("its condition is an async def, which always holds; write def")
        return lambda arrival: bool(condition(arrival.message))
    try:
        return compile_condition(condition)
    except ConfigurationError as error:
        wrong(str(error))
        return None


def _payloads(decoder: PayloadDecoder) -> FillMany:
    def decode_all(arrivals: Sequence[Arrival]) -> list[Any]:
        values: list[Any] = []
        try:
            for arrival in arrivals:
                values.append(decoder.decode_once(arrival))
        except Exception as error:  # Whatever a converter raises: it is this message's.
            raise MessageFailed(arrivals[len(values)].index, error) from error
        return values

    return decode_all


def _header(argument: Argument) -> Fill:
    name, annotation, default = argument.header, argument.annotation, argument.default
    if default is REQUIRED and _is_optional(annotation):
        default = None
    as_is: type | None = annotation if annotation in (str, int, bool, dict, list) else None
    wants_bytes = annotation in (bytes, bytes | None)
    adapter = TypeAdapter(annotation)

    def read(arrival: Arrival) -> Any:
        if wants_bytes:
            raw = [value for candidate, value in arrival.message.raw_headers if candidate == name]
            value: Any = raw[-1] if raw else None
        else:
            value = arrival.headers.get(name)
        if type(value) is as_is:
            return value
        if value is None:
            if default is not REQUIRED:
                return default
            raise PermanentError(f"header {name!r} is missing; give the argument a default, or annotate X | None")
        if isinstance(value, bytes) and not wants_bytes:
            value = value.decode(errors="replace")
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            reason = error.errors(include_url=False, include_input=False)[0]["msg"]
            raise PermanentError(f"header {name!r} is not what the listener takes: {reason}") from error

    return read


def _caller(signature: Signature, fills: dict[Argument, Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """One closure that fills the arguments and calls the function, waiting for a coroutine."""
    by_position = [fill for argument, fill in fills.items() if not argument.keyword_only]
    by_name = {argument.name: fill for argument, fill in fills.items() if argument.keyword_only}
    function = _awaited(signature.function) if signature.is_async else _checked(signature.function)
    if not by_name and len(by_position) == 1:
        (only,) = by_position
        return lambda source: function(only(source))
    if not by_name and len(by_position) == 2:
        first, second = by_position
        return lambda source: function(first(source), second(source))
    return lambda source: function(
        *[fill(source) for fill in by_position], **{name: fill(source) for name, fill in by_name.items()}
    )


def _awaited(function: Callable[..., Any]) -> Callable[..., Any]:
    def called(*given: Any, **named: Any) -> Any:
        return await_result(function(*given, **named))

    return called


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    def called(*given: Any, **named: Any) -> Any:
        result = function(*given, **named)
        if result is not None:
            refuse_awaitable(result)
        return result

    return called


def refuse_awaitable(result: object) -> None:
    """A `def` that returns an awaitable (an `async def` under a decorator that hides it) would never run.

    Raises:
        PermanentError: the result would have to be awaited.
    """
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise PermanentError(
            "the listener returned an awaitable although it is no async def; "
            "is there a decorator above it that hides the coroutine function?"
        )


def _is_optional(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType) and NoneType in get_args(annotation)


def _is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
