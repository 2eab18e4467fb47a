"""An input binding put together: its listeners, how their effects are kept, and what delivers to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from streambind.binding.binder import ConsumerBinding, Deliver, Positions
from streambind.binding.outcome import Outcome
from streambind.configuration.destinations import destinations_of
from streambind.configuration.finding import Finding, Origin, Severity
from streambind.configuration.properties import BindingProperties, OnError
from streambind.errors import ConfigurationError
from streambind.event_loop import EventLoop
from streambind.inbound.accompanied import AccompaniedConsumer
from streambind.inbound.back_off import BackOff
from streambind.inbound.dead_letter import DeadLetters
from streambind.inbound.delivery import Delivery
from streambind.inbound.delivery_broker import BrokerEffects
from streambind.inbound.delivery_positions import DatabaseEffects
from streambind.inbound.dispatcher import Dispatcher
from streambind.inbound.guard import SequenceGuard
from streambind.inbound.handling import Handling
from streambind.inbound.listener import ListenerMark
from streambind.inbound.mass_failure import MassFailure
from streambind.inbound.parked_keys import ParkedKeys
from streambind.inbound.parked_queues import ParkedQueues
from streambind.inbound.parked_retry import ParkedRetry
from streambind.inbound.plan import ListenerPlan, Planner
from streambind.inbound.positions import DatabasePositions
from streambind.inbound.replies import Replies
from streambind.inbound.retry import Budget, names_exception
from streambind.inbound.retry_worker import RetryWorker
from streambind.inbound.signature import place_of
from streambind.inbound.statistics import DeliveryStatistics
from streambind.message import Batch
from streambind.persistence.database import Database


def _nothing() -> None:
    """Nobody waits for a commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the application lends its inputs.

    `database_refused`: there would be a database, but for an error that is told already. `dead_letters` is there
    if the binding has a dead-letter destination. `on_commit` is called after each
    commit of a delivery, from the delivering thread; it must not block or raise.
    """

    loop: EventLoop
    database: Database | None = None
    database_refused: bool = False
    time_zone: tzinfo = UTC
    replies: Replies | None = None
    dead_letters: DeadLetters | None = None
    on_commit: Callable[[], None] = _nothing


@dataclass(slots=True)
class InputPlan:
    """What a binder needs to know to bind an input, and what health wants to know of it.

    `positions` is there if the database is the authority for what is done: then the broker's own offsets are
    a report only; so is `worker`, which tries parked keys again, whatever `consumer.on-error` says by now.
    """

    deliver: Deliver
    positions: Positions | None
    worker: RetryWorker | None
    statistics: DeliveryStatistics
    findings: list[Finding] = field(default_factory=list)

    @staticmethod
    def build(
        binding: str,
        properties: BindingProperties,
        *,
        listeners: Sequence[ListenerMark],
        surroundings: Surroundings,
    ) -> InputPlan:
        """Plan the listeners, at least one, of an input binding. Opens nothing.

        Raises:
            ConfigurationError: with all findings, if one of them is an error.
        """
        planner = Planner(content_type=properties.content_type, time_zone=surroundings.time_zone)
        plans = [planner.plan(mark, shared=len(listeners) > 1) for mark in listeners]
        ready = [plan for plan in plans if plan is not None]
        findings = [*planner.findings, *_mistakes(binding, properties, ready, surroundings)]
        if any(finding.severity is Severity.ERROR for finding in findings):
            raise ConfigurationError(f"binding {binding} cannot be planned: {findings[0].text}", findings)
        statistics = DeliveryStatistics()
        dispatcher = Dispatcher(binding, ready, statistics)
        kept = _kept(dispatcher, binding, properties, surroundings, statistics)
        delivery = Delivery(
            binding,
            _broker_effects(dispatcher, surroundings) if kept is None else kept.effects,
            budget=Budget.of(properties.consumer),
            on_error=_on_error(properties, surroundings, may_park=kept is not None),
            dead_letters=surroundings.dead_letters,
            parking=None if kept is None else kept.effects,
            statistics=statistics,
        )
        deliver = _on_loop(surroundings.loop, delivery.deliver) if dispatcher.is_async else delivery.deliver
        if kept is None:
            return InputPlan(deliver, None, None, statistics, findings)
        return InputPlan(deliver, kept.positions, kept.worker, statistics, findings)

    def accompany(self, consumer: ConsumerBinding) -> ConsumerBinding:
        """The binder's handle, with the worker at its side if there is one, which starts now."""
        return consumer if self.worker is None else AccompaniedConsumer(consumer, self.worker)


@dataclass(frozen=True, slots=True)
class _Kept:
    """The parts of an input whose positions are in the database."""

    effects: DatabaseEffects
    positions: DatabasePositions
    worker: RetryWorker


def _kept(
    dispatcher: Dispatcher,
    binding: str,
    properties: BindingProperties,
    surroundings: Surroundings,
    statistics: DeliveryStatistics,
) -> _Kept | None:
    """One listener with a session makes the mode the database's, for all listeners of the binding."""
    database, group = surroundings.database, properties.group
    if not dispatcher.wants_session or database is None or group is None:
        return None
    trusts, parking = properties.consumer.sequence == "trust", properties.consumer.parking
    positions = DatabasePositions(database, group)
    guard = SequenceGuard(database, group) if trusts else None
    handling = Handling(dispatcher, database, surroundings.replies)
    mass_failure = MassFailure(parking)
    retry = ParkedRetry(
        binding,
        handling,
        database,
        queues=ParkedQueues(database, group, destinations_of(binding, properties)),
        positions=positions,
        guard=guard,
        back_off=BackOff(parking),
        statistics=statistics,
        on_commit=surroundings.on_commit,
    )
    worker = RetryWorker(binding, retry, poll_interval_ms=parking.poll_interval_ms, mass_failure=mass_failure)
    effects = DatabaseEffects(
        handling,
        database,
        positions=positions,
        parked=ParkedKeys(database, group, parking, numbered=trusts),
        mass_failure=mass_failure,
        guard=guard,
        dead_letters=surroundings.dead_letters,
        statistics=statistics,
        on_commit=surroundings.on_commit,
        on_parked=worker.wake,
    )
    return _Kept(effects, positions, worker)


def _broker_effects(dispatcher: Dispatcher, surroundings: Surroundings) -> BrokerEffects:
    return BrokerEffects(dispatcher, replies=surroundings.replies, dead_letters=surroundings.dead_letters)


def _on_error(properties: BindingProperties, surroundings: Surroundings, *, may_park: bool) -> OnError:
    if properties.consumer.on_error is not None:
        return properties.consumer.on_error
    if surroundings.dead_letters is not None:
        return OnError.DLQ
    return OnError.PARK if may_park else OnError.STOP


def _on_loop(loop: EventLoop, deliver: Deliver) -> Deliver:
    """One hop to the event loop per batch; inside, coroutines are awaited where they are called."""

    def deliver_on_loop(batch: Batch) -> Outcome:
        return loop.call(lambda: deliver(batch))

    return deliver_on_loop


def _mistakes(
    binding: str, properties: BindingProperties, plans: Sequence[ListenerPlan], surroundings: Surroundings
) -> list[Finding]:
    """What is wrong with the listeners together, and with them at this binding."""
    found: list[Finding] = []
    for plan in plans:
        if plan.signature.session is not None and not surroundings.database_refused:
            found += _session_mistakes(binding, properties, plan, surroundings.database)
        if plan.reply is not None and surroundings.replies is None:
            found.append(_wrong(plan, f"nothing here can send to {plan.reply.binding}, which its @send_to names"))
    if any(plan.signature.is_async != plans[0].signature.is_async for plan in plans):
        found.append(
            _wrong(
                next(plan for plan in plans if plan.signature.is_async != plans[0].signature.is_async),
                f"def and async def both listen to {binding}: the one would block the other's event loop; "
                "make them one kind",
            )
        )
    if any(plan.signature.is_batch != plans[0].signature.is_batch for plan in plans):
        found.append(
            _wrong(
                next(plan for plan in plans if plan.signature.is_batch),
                f"it takes batches from {binding}, another listener single messages: what comes first would be "
                "open; give all of them list[X], or none",
            )
        )
    for name in properties.consumer.retryable_exceptions:
        if not names_exception(name):
            text = (
                f"binding {binding}: retryableExceptions names {name!r}, which is no exception class known here; "
                "name Python's, such as ValueError or package.module.SomeError"
            )
            found.append(Finding(Severity.WARNING, text, Origin("code")))
    if properties.consumer.on_error is OnError.DLQ and surroundings.dead_letters is None:
        text = (
            f"binding {binding}: consumer.on-error is dlq, but there is no dead-letter destination; "
            "set enableDlq: true in the consumer properties of its binder"
        )
        found.append(Finding(Severity.ERROR, text, Origin("code")))
    if properties.consumer.on_error is OnError.PARK and not any(plan.signature.session for plan in plans):
        text = (
            f"binding {binding}: consumer.on-error is park, but keys are parked in the database that keeps the "
            "positions, and no listener takes a Session; take one, or set on-error to dlq, stop or skip"
        )
        found.append(Finding(Severity.ERROR, text, Origin("code")))
    return found


def _session_mistakes(
    binding: str, properties: BindingProperties, plan: ListenerPlan, database: Database | None
) -> list[Finding]:
    wanted = plan.signature.session
    assert wanted is not None
    if database is None:
        text = (
            f"it takes {wanted.__name__}, but the application has no database; "
            "give StreamApplication(database=Sessions), or set streambind.datasource.url"
        )
        return [_wrong(plan, text)]
    found: list[Finding] = []
    if properties.group is None:
        text = (
            f"it takes {wanted.__name__}, but {binding} has no group, and an anonymous one has no position to "
            f"keep; set bindings.{binding}.group"
        )
        found.append(_wrong(plan, text))
    if issubclass(wanted, AsyncSession) is not database.is_async:
        kind = "asynchronous" if database.is_async else "synchronous"
        other = "AsyncSession in an async def" if database.is_async else "Session in a def"
        given_as = f"the database is {kind} ({database.given_as})"
        found.append(_wrong(plan, f"it takes {wanted.__name__}, but {given_as}; take {other}"))
        return found
    given = database.sessions.class_
    if not issubclass(given, wanted):
        found.append(_wrong(plan, f"it takes {wanted.__name__}, but the sessionmaker makes {given.__name__}"))
    synchronous = getattr(given, "sync_session_class", given)
    synchronous = database.sessions.kw.get("sync_session_class", synchronous)
    if synchronous.get_bind is not Session.get_bind or database.sessions.kw.get("binds"):
        text = (
            "the sessionmaker picks engines by itself (binds=, or get_bind overridden): effects could leave the "
            "transaction that holds the position; give database= a sessionmaker with bind= alone"
        )
        found.append(_wrong(plan, text))
    return found


def _wrong(plan: ListenerPlan, text: str) -> Finding:
    return Finding(Severity.ERROR, f"listener {plan.signature.name}: {text}", place_of(plan.mark.function))
