"""What is parked, in words: seen from outside, by the database alone."""

from __future__ import annotations

from collections.abc import Sequence

from streambind.cli.output import age, count
from streambind.cli.plan import PlannedBinding
from streambind.cli.target import Target, ask_database
from streambind.errors import SchemaError
from streambind.inbound.parked_status import ParkedStatus, parked_status


def parked_reasons(target: Target, inputs: Sequence[PlannedBinding]) -> list[str]:
    """One line per input that has parked keys; none where no input keeps positions in a database, or none has run
    yet.

    Raises:
        DatabaseUnavailableError: the database does not answer.
    """
    asked = [binding for binding in inputs if binding.positions is not False and binding.group is not None]
    if not asked or not target.has_database:
        return []
    database = target.database()
    try:
        found = ask_database(database, lambda: parked_status(database))
    except SchemaError:
        return []
    lines: list[str] = []
    for binding in asked:
        parts = [found.get((binding.group or "", each)) for each in binding.destinations]
        status = ParkedStatus.total(part for part in parts if part is not None)
        if status:
            lines.append(f"{binding.name}: {_text(status)}")
    return lines


def _text(status: ParkedStatus) -> str:
    states = []
    if status.keys:
        gaps = f" ({status.gaps} for a missing predecessor: streambind verify)" if status.gaps else ""
        states.append(f"{count(status.keys, 'key')} parked{gaps}")
    if status.dead:
        states.append(f"{count(status.dead, 'key')} dead")
    remedy = "streambind dlq ls TARGET says why"
    if status.dead:
        remedy += "; mend that, then streambind dlq retry TARGET, or skip"
    behind = f"{count(status.messages, 'message')} behind, for {age(status.oldest_ms or 0)}"
    return f"{', '.join(states)}; {behind}: {remedy}"
