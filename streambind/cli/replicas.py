"""The replicas of an application, and the topics that they are made from."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import inspect

from streambind.binding.binder import Identity, Lane
from streambind.cli.target import BROKER_TIMEOUT_MS, Brokers, Target, ask_database, database_named, resolve
from streambind.configuration.destinations import destinations_of
from streambind.configuration.masking import shown_url
from streambind.configuration.properties import Publish
from streambind.errors import ConfigurationError, DestinationError, SchemaError
from streambind.inbound.limits import Limits
from streambind.message import Message
from streambind.persistence.database import Database
from streambind.replicas.fold import Log
from streambind.replicas.replica import Replica
from streambind.replicas.source import Source


def replica_of(target: Target, binding: str, cls: str | None) -> Replica:
    """
    Raises:
        ConfigurationError: the target is no code, or has no such replica.
    """
    application = target.application
    if application is None:
        raise ConfigurationError("replicas stand in the code: name the application as module:attribute")
    name = application.configuration.find_binding(binding) or binding
    plan = application.blueprint.input_plans.get(name)
    found = [] if plan is None else [each for each in plan.replicas if cls in (None, _name(each))]
    if len(found) != 1:
        every = {
            f"{each_name} ({_name(each)})"
            for each_name, each_plan in application.blueprint.input_plans.items()
            for each in each_plan.replicas
        }
        raise ConfigurationError(
            f"{binding} has {'no such replica' if not found else 'several replicas: name one with --class'}; "
            f"replicas are: {', '.join(sorted(every)) or 'none'}"
        )
    properties = application.configuration.properties.bindings[name]
    assert properties.group is not None, "an input with positions in the database has a group"
    return Replica(
        found[0],
        name,
        properties.group,
        destinations_of(name, properties),
        properties.content_type,
        application.blueprint.time_zone,
        Limits.of(properties.consumer),
        trusts=properties.consumer.sequence == "trust",
    )


def _name(plan: object) -> str:
    return plan.mark.declared_on.__name__  # type: ignore[attr-defined, no-any-return]


def require_table(database: Database, replica: Replica) -> None:
    """
    Raises:
        SchemaError: the replica's table is not there.
    """
    table = replica.plan.table
    with database_named(database):
        if not database.run(lambda connection: inspect(connection).has_table(table.name, schema=table.schema)):
            raise SchemaError(
                f"the table {table.fullname} of {replica.name} is not in {shown_url(database.engine.url)}: "
                "create it as the service's other tables; an empty one will do"
            )


def source_of(text: str, replica: Replica) -> Source:
    """What an application publishes to the replica's destination.

    Raises:
        ConfigurationError: it is no code, or publishes nothing there.
    """
    target = resolve(text)
    application = target.application
    if application is None:
        raise ConfigurationError(f"--source {text}: what is published stands in the code: name module:attribute")
    outputs = [
        (name, plan.destination)
        for name, plan in application.blueprint.outputs.items()
        if plan.destination in replica.destinations and plan.publish is Publish.OUTBOX
    ]
    if len(outputs) != 1 or len(replica.destinations) != 1:
        raise ConfigurationError(
            f"--source {text}: exactly one of its outputs must go by the outbox to the one destination of "
            f"{replica.binding} ({', '.join(replica.destinations)}); there are {len(outputs)}"
        )
    ((name, destination),) = outputs
    database = target.database()
    ask_database(database, lambda: None)
    return Source(database, name, destination)


def log_of(brokers: Brokers, target: Target, replica: Replica) -> Log:
    """
    Raises:
        DestinationError: a destination is not there.
    """
    binder = target.configuration.binder_name(replica.binding)
    starts: dict[Lane, int] = {}
    identities: dict[str, Identity] = {}
    for destination in replica.destinations:
        info = brokers.ask(binder, lambda b, name=destination: b.describe(name, BROKER_TIMEOUT_MS))  # type: ignore[misc]
        if info is None:
            raise DestinationError(f"no destination {destination} at the broker")
        starts |= {Lane(destination, partition): start for partition, start in info.starts.items()}
        identities[destination] = info.identity

    def read(lane: Lane, at: int) -> Sequence[Message]:
        where = {lane.partition: max(at, starts.get(lane, 0))}
        return brokers.ask(binder, lambda b: b.read(lane.destination, where, BROKER_TIMEOUT_MS))

    return Log(starts, identities, read)
