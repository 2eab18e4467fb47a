"""Tables of replicas that have not what is written to them: said in words, and nobody's fault."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ParamSpec

from sqlalchemy.exc import DBAPIError

from streambind.errors import SchemaError
from streambind.inbound.replica_plan import ReplicaPlan
from streambind.persistence.failures import fault_in_statement, is_undefined_column, is_undefined_table

P = ParamSpec("P")


def lacks_told(plan: ReplicaPlan, write: Callable[P, None]) -> Callable[P, None]:
    """The same, that raises SchemaError where the table, or a column of it, is not there: no message is parked for
    it, and all go on once it is. What earlier handlers left to be written is none of it."""
    is_about_table = re.compile(rf"(?<!\w){re.escape(plan.table.name)}(?!\w)").search

    def told(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            write(*args, **kwargs)
        except DBAPIError as error:
            is_lack = is_undefined_table(error) or is_undefined_column(error)
            if not is_lack or not is_about_table(error.statement or ""):
                raise
            name, cls = plan.table.fullname, plan.mark.declared_on.__qualname__
            raise SchemaError(
                f"the table {name} is not as {cls} has it: {fault_in_statement(error)}; make or change it as the "
                "service's other tables, and its events are handled"
            ) from error

    return told
