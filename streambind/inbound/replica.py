"""`@replicates` as a listener of its binding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic.errors import PydanticUserError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from streambind.configuration.code_origin import code_origin
from streambind.errors import ConfigurationError
from streambind.inbound.arrival import Arrival
from streambind.inbound.decoding import PayloadDecoder
from streambind.inbound.plan import ListenerPlan, Planner, condition_of
from streambind.inbound.replica_columns import ReplicaColumns, read_columns
from streambind.inbound.replica_entities import ReplicaEntities
from streambind.inbound.replica_events import ReplicaEvents
from streambind.inbound.replica_plan import ReplicaPlan
from streambind.inbound.replica_rows import ReplicaRows
from streambind.inbound.replicates import ReplicaMark
from streambind.inbound.surroundings import Surroundings


def plan_replica(
    mark: ReplicaMark, planner: Planner, *, shared: bool, surroundings: Surroundings
) -> ListenerPlan | None:
    """None, and the planner's `findings`, if the replica cannot be kept. `shared`: as with `Planner.plan`."""
    found = read_columns(mark)
    matches = condition_of(mark.condition, found.wrong)
    decoder = _decoder(found, planner)
    if decoder is None or found.mistakes:
        planner.findings += found.mistakes
        return None
    database = surroundings.database
    plan = ReplicaPlan.of(found)
    call, call_many = _calls(plan, ReplicaEvents(plan, decoder, shared=shared), surroundings)
    return ListenerPlan(
        name=found.name,
        place=code_origin(mark.declared_on),
        matches=matches,
        takes_null=True,
        call=call,
        call_many=call_many,
        is_async=None,
        session=AsyncSession if database is not None and database.is_async else Session,
        replica=plan,
    )


def _decoder(found: ReplicaColumns, planner: Planner) -> PayloadDecoder | None:
    if found.mistakes:
        return None
    try:
        return planner.decoder(found.mark.event)
    except (ConfigurationError, PydanticUserError, TypeError) as error:
        found.wrong(str(error))
        return None


def _calls(
    plan: ReplicaPlan, events: ReplicaEvents, surroundings: Surroundings
) -> tuple[Callable[[Arrival], None], Callable[[Sequence[Arrival]], None] | None]:
    if surroundings.publishes(plan.mark.declared_on):
        return ReplicaEntities(plan, events).apply, None
    if surroundings.database is None:  # A mistake that is told elsewhere: nobody calls it.
        return lambda _: None, lambda _: None
    apply = ReplicaRows(plan, events, surroundings.database.dialect.row_statements()).apply
    return lambda arrival: apply([arrival]), apply
