"""`@replicates` as a listener of its binding."""

from __future__ import annotations

from pydantic.errors import PydanticUserError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from streambind.configuration.code_origin import code_origin
from streambind.errors import ConfigurationError
from streambind.inbound.decoding import PayloadDecoder
from streambind.inbound.plan import ListenerPlan, Planner, condition_of
from streambind.inbound.replica_columns import ReplicaColumns, read_columns
from streambind.inbound.replica_entities import ReplicaEntities
from streambind.inbound.replica_events import ReplicaEvents
from streambind.inbound.replica_lacks import lacks_told
from streambind.inbound.replica_plan import ReplicaPlan
from streambind.inbound.replica_rows import ReplicaRows
from streambind.inbound.replica_types import misfits
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
    planner.findings += misfits(found)
    database = surroundings.database
    plan = ReplicaPlan.of(found)
    events = ReplicaEvents(plan, decoder, shared=shared)
    made = ListenerPlan(
        name=found.name,
        place=code_origin(mark.declared_on),
        matches=matches,
        takes_null=True,
        call=None,
        call_many=lambda _: None,
        is_async=None,
        session=AsyncSession if database is not None and database.is_async else Session,
        replica=plan,
    )
    if surroundings.publishes(plan.mark.declared_on):
        made.call, made.call_many = lacks_told(plan, ReplicaEntities(plan, events).apply), None
    elif database is not None:  # Else that is a mistake, which is told elsewhere: nobody calls it.
        rows = ReplicaRows(plan, events, database.dialect.row_statements())
        apply = lacks_told(plan, rows.apply)
        made.call, made.call_many = lambda arrival: apply([arrival]), apply
        made.call_alone, made.reader = lacks_told(plan, rows.apply_alone), rows if events.is_quick else None
    return made


def _decoder(found: ReplicaColumns, planner: Planner) -> PayloadDecoder | None:
    if found.mistakes:
        return None
    try:
        return planner.decoder(found.mark.event)
    except (ConfigurationError, PydanticUserError, TypeError) as error:
        found.wrong(str(error))
        return None
