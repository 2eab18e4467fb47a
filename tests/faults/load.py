"""A service that changes items as fast as its database takes it: `python -m tests.faults.load`, until SIGTERM.

Two writers with items of their own, so that neither waits for the other. Ends when its outbox is empty.
"""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

from streambind import StreamApplication
from streambind.errors import OutboxFullError
from tests.faults import source
from tests.faults.source import Committed, Item, wait_until_sent

WRITERS, ITEMS = 2, 4
_FULL_S = 0.05
"""After a commit that was refused since the outbox is full."""


def write(stream: StreamApplication, first: int, stop: threading.Event) -> None:
    """Commit one change after the other to the items from `first` on, in turn."""
    number = 0
    while not stop.is_set():
        try:
            with stream.sessions() as session:
                item_id = first + number % ITEMS
                item = session.get(Item, item_id)
                job = "INSERT" if item is None else "UPDATE"
                if item is None:
                    session.add(item := Item(item_id=item_id, version=0))
                item.version += 1
                session.add(Committed(item_id=item_id, version=item.version, job=job))
                session.commit()
                number += 1
        except OutboxFullError:
            stop.wait(_FULL_S)


def main() -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    stream = StreamApplication("tests/faults/config/source", include=[source])
    with stream:
        with ThreadPoolExecutor(WRITERS) as pool:
            writers = [pool.submit(write, stream, 1 + ITEMS * number, stop) for number in range(WRITERS)]
        for writer in writers:
            writer.result()
        wait_until_sent(stream)


if __name__ == "__main__":
    main()
