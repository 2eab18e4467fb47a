"""What is wrong with the listeners of a binding together, and with them at this binding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from streambind.configuration.finding import Finding, Origin, Severity
from streambind.configuration.properties import BindingProperties, ConsumerProperties, OnError
from streambind.errors import ConfigurationError
from streambind.expression import compile_expression
from streambind.inbound.plan import ListenerPlan
from streambind.inbound.retry import names_exception
from streambind.inbound.surroundings import Surroundings
from streambind.persistence.database import Database


def mistakes(
    binding: str, properties: BindingProperties, plans: Sequence[ListenerPlan], surroundings: Surroundings
) -> list[Finding]:
    """What is wrong with the listeners together, and with them at this binding."""
    found: list[Finding] = []
    for plan in plans:
        if plan.session is not None and not surroundings.database_refused:
            found += _session_mistakes(binding, properties, plan, surroundings.database)
        if plan.reply is not None and surroundings.replies is None:
            found.append(_wrong(plan, f"nothing here can send to {plan.reply.binding}, which its @send_to names"))
    colours = [plan for plan in plans if plan.is_async is not None]
    if any(plan.is_async != colours[0].is_async for plan in colours):
        found.append(
            _wrong(
                next(plan for plan in colours if plan.is_async != colours[0].is_async),
                f"def and async def both listen to {binding}: the one would block the other's event loop; "
                "make them one kind",
            )
        )
    of_batches = [plan for plan in plans if plan.call is None]
    if of_batches and any(plan.call_many is None for plan in plans):
        found.append(
            _wrong(
                of_batches[0],
                f"it takes batches from {binding}, another listener single messages: what comes first would be "
                "open; give all of them list[X], or none",
            )
        )
    return [
        *found,
        *_shared_rows(binding, plans),
        *_policy_mistakes(binding, properties.consumer, plans, has_letters=surroundings.dead_letters is not None),
    ]


def _shared_rows(binding: str, plans: Sequence[ListenerPlan]) -> Iterator[Finding]:
    """Replicas that would write each other's rows, in no order that anybody chose."""
    known: dict[Table, ListenerPlan] = {}
    for plan in plans:
        if plan.replica is not None:
            other = known.setdefault(plan.replica.table, plan)
            if other is not plan:
                text = (
                    f"{binding} is replicated into {plan.replica.table} already, by {other.name}; keep one, "
                    "with the columns of both"
                )
                yield _wrong(plan, text)


def _policy_mistakes(
    binding: str, consumer: ConsumerProperties, plans: Sequence[ListenerPlan], *, has_letters: bool
) -> Iterator[Finding]:
    """What `consumer` says of failing messages that cannot be done here."""
    named = [("retryableExceptions", name) for name in consumer.retryable_exceptions]
    # A class may go by its bare name there, and where it comes from is not known.
    named += [("on-error-of", name) for name in consumer.on_error_of if "." in name]
    for key, name in named:
        if not names_exception(name):
            text = (
                f"binding {binding}: {key} names {name!r}, which is no exception class known here; "
                "name Python's, such as ValueError or package.module.SomeError"
            )
            yield Finding(Severity.WARNING, text, Origin("code"))
    takes_session = any(plan.session for plan in plans)
    if consumer.dedupe is not None:
        if not takes_session:
            text = (
                f"binding {binding}: consumer.dedupe keeps ids in the database of the effects, and no listener "
                "takes a Session; take one, or leave dedupe out"
            )
            yield Finding(Severity.ERROR, text, Origin("code"))
        try:
            compile_expression(consumer.dedupe)
        except ConfigurationError as error:
            text = f"binding {binding}: consumer.dedupe: {error}"
            yield Finding(Severity.ERROR, text, Origin("code"))
    if consumer.replay and takes_session:
        text = (
            f"binding {binding}: consumer.replay has no effect: a listener takes a Session, and dead letters come "
            "back through the database"
        )
        yield Finding(Severity.WARNING, text, Origin("code"))
    if consumer.replay and not takes_session and not has_letters:
        text = (
            f"binding {binding}: consumer.replay brings back dead letters, and there is no dead-letter "
            "destination; set enableDlq: true in the consumer properties of its binder"
        )
        yield Finding(Severity.WARNING, text, Origin("code"))
    chosen = [("on-error", consumer.on_error), *((f"on-error-of.{n}", c) for n, c in consumer.on_error_of.items())]
    for key, choice in chosen:
        if choice is OnError.DLQ and not has_letters:
            text = (
                f"binding {binding}: consumer.{key} is dlq, but there is no dead-letter destination; "
                "set enableDlq: true in the consumer properties of its binder"
            )
            yield Finding(Severity.ERROR, text, Origin("code"))
        if choice is OnError.PARK and not takes_session:
            text = (
                f"binding {binding}: consumer.{key} is park, but keys are parked in the database that keeps the "
                "positions, and no listener takes a Session; take one, or set on-error to dlq, stop or skip"
            )
            yield Finding(Severity.ERROR, text, Origin("code"))


def _session_mistakes(
    binding: str, properties: BindingProperties, plan: ListenerPlan, database: Database | None
) -> list[Finding]:
    wanted = plan.session
    assert wanted is not None
    needs = f"it takes {wanted.__name__}" if plan.replica is None else "it writes to a database"
    if database is None:
        text = (
            f"{needs}, but the application has no database; "
            "give StreamApplication(database=Sessions), or set streambind.datasource.url"
        )
        return [_wrong(plan, text)]
    found: list[Finding] = []
    if properties.group is None:
        text = (
            f"{needs}, but {binding} has no group, and an anonymous one has no position to "
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
    return Finding(Severity.ERROR, f"{plan.name}: {text}", plan.place)
