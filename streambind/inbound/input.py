"""An input binding put together: its listeners, how their effects are kept, and what delivers to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from streambind.binding.binder import Deliver, Positions
from streambind.binding.outcome import Outcome
from streambind.configuration.finding import Finding, Origin, Severity
from streambind.configuration.properties import BindingProperties, OnError
from streambind.errors import ConfigurationError
from streambind.event_loop import EventLoop
from streambind.inbound.dead_letter import DeadLetters
from streambind.inbound.delivery import Delivery, Effects
from streambind.inbound.delivery_broker import BrokerEffects
from streambind.inbound.delivery_positions import DatabaseEffects
from streambind.inbound.dispatcher import Dispatcher
from streambind.inbound.guard import SequenceGuard
from streambind.inbound.listener import ListenerMark
from streambind.inbound.plan import ListenerPlan, Planner
from streambind.inbound.positions import DatabasePositions
from streambind.inbound.replies import Replies
from streambind.inbound.retry import Budget, names_exception
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
    a report only.
    """

    deliver: Deliver
    positions: Positions | None
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
        effects, positions = _effects(dispatcher, properties, surroundings, statistics)
        delivery = Delivery(
            binding,
            effects,
            budget=Budget.of(properties.consumer),
            on_error=_on_error(properties, surroundings),
            dead_letters=surroundings.dead_letters,
            statistics=statistics,
        )
        deliver = _on_loop(surroundings.loop, delivery.deliver) if dispatcher.is_async else delivery.deliver
        return InputPlan(deliver, positions, statistics, findings)


def _effects(
    dispatcher: Dispatcher,
    properties: BindingProperties,
    surroundings: Surroundings,
    statistics: DeliveryStatistics,
) -> tuple[Effects, Positions | None]:
    """One listener with a session makes the mode the database's, for all listeners of the binding."""
    database, group = surroundings.database, properties.group
    if not dispatcher.wants_session or database is None or group is None:
        return BrokerEffects(dispatcher, replies=surroundings.replies), None
    positions = DatabasePositions(database, group)
    effects = DatabaseEffects(
        dispatcher,
        database,
        positions=positions,
        guard=SequenceGuard(database, group) if properties.consumer.sequence == "trust" else None,
        replies=surroundings.replies,
        statistics=statistics,
        on_commit=surroundings.on_commit,
    )
    return effects, positions


def _on_error(properties: BindingProperties, surroundings: Surroundings) -> OnError:
    if properties.consumer.on_error is not None:
        return properties.consumer.on_error
    return OnError.DLQ if surroundings.dead_letters is not None else OnError.STOP


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
