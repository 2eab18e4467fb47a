"""Python's garbage collector in a process that is there for messages."""

from __future__ import annotations

import gc

YOUNG = 10_000
"""How many new objects it waits for. It looks at each of them, and a batch of events has thousands, none of which
it can free. More at a time would be noticed as pauses."""


def spare_collector() -> None:
    """Have it look less often, and no longer at what is there by now, for as long as the process lasts. How often
    stays as it is where the service has set it to wait for more, or has switched it off."""
    gc.collect()
    gc.freeze()
    young, *older = gc.get_threshold()
    if 0 < young < YOUNG:
        gc.set_threshold(YOUNG, *older)
