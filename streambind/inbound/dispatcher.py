"""Which listeners a message goes to, and the call."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from streambind.conversion import Decoder
from streambind.errors import PermanentError
from streambind.event_loop import await_result
from streambind.failpoints import failpoint
from streambind.inbound.arrival import Arrival
from streambind.inbound.cause import MessageCause
from streambind.inbound.escape import of_message
from streambind.inbound.failure import MessageFailed
from streambind.inbound.limits import Limits
from streambind.inbound.plan import ListenerPlan, refuse_awaitable
from streambind.inbound.replies import Reply
from streambind.inbound.statistics import DeliveryStatistics
from streambind.joint_batch import place_of
from streambind.message import Batch
from streambind.read_ahead import Reader

_log = logging.getLogger(__name__)

_UNMATCHED_LOG_INTERVAL_S = 60.0

Payloads = Sequence[bytes | None]


class Progress:
    """How many messages from the front of a batch are through, readable after a raise."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = 0


class Dispatcher:
    """All listeners of a binding, in the order of declaration. Delivery does not know of what kind they are.

    Every listener whose condition holds is called. A message for which none holds is handled; whoever asked for
    that tells `done_unmatched` once it is done for good. A tombstone goes to the listeners that take null; if
    those that it concerns are all of another kind, it fails for good: deletes must not vanish unseen.
    """

    def __init__(
        self, binding: str, listeners: Sequence[ListenerPlan], statistics: DeliveryStatistics, *, limits: Limits
    ) -> None:
        self._binding = binding
        self._limits = limits
        self._listeners = listeners
        self._statistics = statistics
        self._unmatched_logged = float("-inf")
        self._is_unconditional = all(listener.matches is None for listener in listeners)
        self.is_batch = all(listener.call_many is not None for listener in listeners)
        self.is_async = any(listener.is_async for listener in listeners)
        self.wants_session = any(listener.session is not None for listener in listeners)
        alone = listeners[0] if self._is_unconditional and len(listeners) == 1 else None
        self._call_alone = None if alone is None else alone.call_alone
        self.readers: tuple[Reader, ...] = () if alone is None or alone.reader is None else (alone.reader,)
        self.run_all = _compiled_run(listeners)
        """Decode and call for each message of a batch, in one tight loop, or once for all of them if the listener
        takes batches, for the plain case: one listener of one argument, no condition, no reply, no session. None
        for other cases. Sets the progress's `done`, whether it raises what the listener raised or returns; False
        if the next message needs a closer look."""

    def units(self, indexes: Sequence[int], *, singly: bool) -> Iterator[Sequence[int]]:
        """What is handled by one call each: all messages at once by batch listeners unless `singly`."""
        if self.is_batch and not singly:
            return iter((indexes,) if indexes else ())
        return ((index,) for index in indexes)

    def handle(self, batch: Batch, unit: Sequence[int], session: Any, unmatched: list[int]) -> list[Reply]:
        """Call the listeners of one unit; returns what they want sent. `unmatched` gets the messages for which no
        condition holds.

        Raises:
            MessageFailed: one message of a unit of several is known to be to blame.
            Exception: whatever a listener raises.
        """
        try:
            if self._call_alone is not None:
                self._call_alone(batch, unit, session)
                return []
            if not self.is_batch:
                return self._handle_one(Arrival(batch, unit[0], session, limits=self._limits), unmatched)
            arrivals = [Arrival(batch, index, session, limits=self._limits) for index in unit]
            return self._handle_many(arrivals, unmatched)
        except Exception:
            raise
        except BaseException as error:
            raise of_message(error) from error

    def done_unmatched(self, batch: Batch, indexes: Sequence[int]) -> None:
        """Count messages that no listener took and that are done, and mention one in the log now and then."""
        if not indexes:
            return
        self._statistics.count(unmatched=len(indexes))
        now = time.monotonic()
        if now - self._unmatched_logged >= _UNMATCHED_LOG_INTERVAL_S:
            self._unmatched_logged = now
            _log.warning(
                "%s: no listener's condition holds for %s; it counts as handled (said once a minute)",
                self._binding,
                place_of(batch, indexes[0]),
            )

    def _handle_one(self, arrival: Arrival, unmatched: list[int]) -> list[Reply]:
        replies: list[Reply] = []
        for listener in self._concerned(arrival, unmatched):
            if listener.call is not None:
                result = listener.call(arrival)
                if listener.reply is not None and result is not None:
                    replies += _replies(listener, result, [arrival])
        return replies

    def _handle_many(self, arrivals: Sequence[Arrival], unmatched: list[int]) -> list[Reply]:
        replies: list[Reply] = []
        for listener, part in zip(self._listeners, self._parts(arrivals, unmatched), strict=True):
            if part and listener.call_many is not None:
                result = listener.call_many(part)
                if listener.reply is not None and result is not None:
                    replies += _replies(listener, result, part)
        return replies

    def _parts(self, arrivals: Sequence[Arrival], unmatched: list[int]) -> Sequence[Sequence[Arrival]]:
        """What of them goes to each listener."""
        if self._is_unconditional and len(self._listeners) == 1:
            return (arrivals,)
        parts: list[list[Arrival]] = [[] for _ in self._listeners]
        for arrival in arrivals:
            try:
                concerned = self._concerned(arrival, unmatched)
            except Exception as error:
                raise MessageFailed(arrival.index, error) from error
            for listener, part in zip(self._listeners, parts, strict=True):
                if listener in concerned:
                    part.append(arrival)
        return parts

    def _concerned(self, arrival: Arrival, unmatched: list[int]) -> Sequence[ListenerPlan]:
        """The listeners to call, in order."""
        if self._is_unconditional:
            concerned = self._listeners
        else:
            concerned = [li for li in self._listeners if li.matches is None or li.matches(arrival)]
            if not concerned:
                unmatched.append(arrival.index)
        if len(concerned) > 1 and arrival.batch.payload(arrival.index) is None:
            return _takers_of_null(concerned)
        return concerned


def _takers_of_null(concerned: Sequence[ListenerPlan]) -> list[ListenerPlan]:
    takers = [listener for listener in concerned if listener.takes_null]
    if not takers:
        names = ", ".join(listener.name for listener in concerned)
        raise PermanentError(f"the payload is null (a tombstone), which {names} do not take: annotate X | None")
    return takers


def _replies(listener: ListenerPlan, result: Any, arrivals: Sequence[Arrival]) -> list[Reply]:
    assert listener.reply is not None
    binding, make_key = listener.reply.binding, listener.reply.key
    results = result if listener.returns_several else [result]
    batch = arrivals[0].batch
    inherited = batch.key(arrivals[0].index) if make_key is None and listener.call is not None else None
    cause = MessageCause(batch, [arrival.index for arrival in arrivals])
    return [
        Reply(binding, each, make_key(each) if make_key else None, inherited, cause)
        for each in results
        if each is not None
    ]


def _compiled_run(listeners: Sequence[ListenerPlan]) -> Callable[[Batch, Progress], bool] | None:
    listener = listeners[0]
    if len(listeners) > 1 or listener.plain is None or listener.matches or listener.reply:
        return None
    decoder, function = listener.plain
    if not decoder.is_plain:
        return None
    decode, limits, is_async = decoder.quick, decoder.limits, bool(listener.is_async)
    if listener.call_many is not None:
        return _compiled_batch(decode, limits, function, is_async=is_async)
    loop = _loop_async if is_async else _loop

    def run_all(batch: Batch, progress: Progress) -> bool:
        payloads = batch.payloads()
        if limits.are_exceeded(payloads):
            return False
        try:
            loop(function, decode, payloads, progress)
        except Exception:
            # Decoding has no effects, so that doing it again tells whose the failure is.
            if _is_decoded(decode, payloads[progress.done]):
                raise
            return False
        except BaseException as error:
            raise of_message(error) from error
        return True

    return run_all


def _compiled_batch(
    decode: Decoder, limits: Limits, function: Callable[[Any], Any], *, is_async: bool
) -> Callable[[Batch, Progress], bool]:
    def run_all(batch: Batch, progress: Progress) -> bool:
        payloads = batch.payloads()
        if limits.are_exceeded(payloads):
            return False
        try:
            events = [*map(decode, payloads)]  # type: ignore[arg-type]
        except Exception:  # noqa: BLE001 -- null, another content type, garbage: a closer look tells.
            return False
        try:
            result = function(events)
            if is_async:
                await_result(result)
            elif result is not None:
                refuse_awaitable(result)
        except Exception:
            raise
        except BaseException as error:
            raise of_message(error) from error
        progress.done = len(payloads)
        failpoint("delivery.in_handler")
        return True

    return run_all


def _is_decoded(decode: Decoder, payload: bytes | None) -> bool:
    try:
        decode(payload)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 -- null, another content type, garbage: whatever a converter raises.
        return False
    return True


def _loop(function: Callable[[Any], Any], decode: Decoder, payloads: Payloads, progress: Progress) -> None:
    done = 0
    rest = iter(payloads)
    try:
        for payload in rest:
            if (result := function(decode(payload))) is not None:  # type: ignore[arg-type]
                refuse_awaitable(result)
            done = 1
            failpoint("delivery.in_handler")
            break
        for payload in rest:
            if (result := function(decode(payload))) is not None:  # type: ignore[arg-type]
                refuse_awaitable(result)
            done += 1
    finally:
        progress.done = done


def _loop_async(
    function: Callable[[Any], Awaitable[Any]], decode: Decoder, payloads: Payloads, progress: Progress
) -> None:
    async def run() -> None:
        done = 0
        try:
            for payload in payloads:
                await function(decode(payload))  # type: ignore[arg-type]
                done += 1
                if done == 1:
                    failpoint("delivery.in_handler")
        finally:
            progress.done = done

    await_result(run())
