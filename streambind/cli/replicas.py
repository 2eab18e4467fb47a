"""The replicas of an application, and the topics that they are made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from sqlalchemy import Connection, inspect

from streambind.binding.binder import Identity, Lane
from streambind.cli.target import BROKER_TIMEOUT_MS, Brokers, Target, ask_database, database_named, resolve
from streambind.configuration.destinations import destinations_of
from streambind.configuration.masking import shown_url
from streambind.configuration.properties import Publish
from streambind.errors import ConfigurationError, DestinationError, SchemaError
from streambind.inbound.limits import Limits
from streambind.inbound.replica_plan import ReplicaPlan
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
    every = [(of, each) for of, plan in application.blueprint.input_plans.items() for each in plan.replicas]
    labels = _labels({_class(each) for _, each in every})
    found = [each for of, each in every if of == name and (cls is None or cls in _names(_class(each)))]
    if len(found) > 1:
        candidates = ", ".join(sorted(labels[_class(each)] for each in found))
        raise ConfigurationError(
            f"{binding} has several such replicas: name one of these with --class: {candidates}"
        )
    if not found:
        known = ", ".join(sorted(f"{of} ({labels[_class(each)]})" for of, each in every))
        raise ConfigurationError(f"{binding} has no such replica; replicas are: {known or 'none'}")
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


def _class(plan: ReplicaPlan) -> type:
    return plan.mark.declared_on


def _names(cls: type) -> tuple[str, str, str]:
    """What a replica's class may be called, from the shortest name to the one that no other has."""
    return cls.__name__, cls.__qualname__, f"{cls.__module__}.{cls.__qualname__}"


def _labels(classes: Collection[type]) -> dict[type, str]:
    """The shortest name of each that tells it apart from the others."""
    times = Counter(cls.__name__ for cls in classes)
    return {cls: _names(cls)[0 if times[cls.__name__] == 1 else -1] for cls in classes}


def require_table(database: Database, replica: Replica) -> None:
    """
    Raises:
        SchemaError: the replica's table is not there, or has not the columns that it fills.
    """
    table = replica.plan.table

    def there(connection: Connection) -> set[str] | None:
        seen = inspect(connection)
        if not seen.has_table(table.name, schema=table.schema):
            return None
        return {column["name"] for column in seen.get_columns(table.name, schema=table.schema)}

    with database_named(database):
        found = database.run(there)
    where = f"the table {table.fullname} of {replica.name}"
    if found is None:
        raise SchemaError(
            f"{where} is not in {shown_url(database.engine.url)}: create it as the service's other tables; "
            "an empty one will do"
        )
    if missing := [column.name for column in replica.plan.columns if column.name not in found]:
        raise SchemaError(f"{where} has no column {', '.join(missing)}: change it as the service's other tables")


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
            f"{replica.binding} ({', '.join(replica.destinations)}); such are: "
            f"{', '.join(name for name, _ in outputs) or 'none'}"
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
