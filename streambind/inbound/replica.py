"""`@replicates` as a listener of its binding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic.errors import PydanticUserError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from streambind.configuration.code_origin import code_origin
from streambind.errors import ConfigurationError
from streambind.inbound.arrival import Arrival
from streambind.inbound.plan import ListenerPlan, Planner, condition_of
from streambind.inbound.replica_columns import ReplicaColumns, read_columns
from streambind.inbound.replica_entities import ReplicaEntities
from streambind.inbound.replica_events import ReplicaEvents
from streambind.inbound.replica_plan import ReplicaPlan
from streambind.inbound.replica_rows import ReplicaRows
from streambind.inbound.replicates import ReplicaMark
from streambind.inbound.surroundings import Surroundings
from streambind.persistence.row_statements import row_statements

Apply = Callable[[Sequence[Arrival]], None]


def plan_replica(
    mark: ReplicaMark, planner: Planner, *, shared: bool, surroundings: Surroundings
) -> ListenerPlan | None:
    """None, and the planner's `findings`, if the replica cannot be kept. `shared`: as with `Planner.plan`."""
    found = read_columns(mark)
    matches = condition_of(mark.condition, found.wrong)
    apply = None if found.mistakes else _apply(found, planner, shared=shared, surroundings=surroundings)
    if found.mistakes or apply is None:
        planner.findings += found.mistakes
        return None
    database = surroundings.database
    plan, write = apply
    return ListenerPlan(
        name=found.name,
        place=code_origin(mark.declared_on),
        matches=matches,
        takes_null=True,
        call=lambda arrival: write([arrival]),
        call_many=write,
        is_async=None,
        session=AsyncSession if database is not None and database.is_async else Session,
        replica=plan,
    )


def _apply(
    found: ReplicaColumns, planner: Planner, *, shared: bool, surroundings: Surroundings
) -> tuple[ReplicaPlan, Apply] | None:
    try:
        decoder = planner.decoder(found.mark.event)
    except (ConfigurationError, PydanticUserError, TypeError) as error:
        found.wrong(str(error))
        return None
    plan = ReplicaPlan.of(found)
    events = ReplicaEvents(plan, decoder.decode_once if shared else decoder.decode)
    if surroundings.publishes(found.mark.declared_on):
        return plan, ReplicaEntities(plan, events).apply
    if surroundings.database is None:
        return plan, _nowhere
    return plan, ReplicaRows(plan, events, row_statements(surroundings.database.dialect)).apply


def _nowhere(_: Sequence[Arrival]) -> None:
    """Never called: a replica without a database is a mistake that is told elsewhere."""
