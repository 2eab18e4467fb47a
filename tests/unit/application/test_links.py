"""What plans reach while nothing runs, and in a process that was forked."""

from __future__ import annotations

import subprocess
import sys

from streambind.application.links import Links
from streambind.errors import SendError
from streambind.message import Message
from streambind.outbound.event_ids import new_event_id
from streambind.outbound.outgoing import Outgoing

FORKED = """
import os, threading
from streambind.application.links import Links
from streambind.outbound.event_ids import new_event_id
from streambind.outbound.outgoing import Outgoing

held = threading.Lock()  # a thread of the parent holds it for a moment; nobody lets it go in the child
class Parts:
    def wake(self):
        with held:
            pass
    def send_after_commit(self, messages):
        with held:
            pass

told = []
links = Links(lambda message, error: told.append((message.key, str(error))))
links.connect(Parts())
held.acquire()
child = os.fork()
if child == 0:
    links.wake()
    links.send_after_commit([Outgoing("out-a", "a", b"1", b"x", (), new_event_id())])
    [(key, error)] = told
    os._exit(7 if key == b"1" and "forked" in error else 3)
held.release()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""


def test_a_commit_in_a_forked_process_neither_hangs_nor_loses_silently() -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_what_is_committed_while_nothing_runs_is_told_message_by_message() -> None:
    told: list[tuple[Message, Exception]] = []
    links = Links(lambda message, error: told.append((message, error)))
    messages = [Outgoing("out-a", "a", key, b"x", (), new_event_id()) for key in (b"1", b"2")]

    links.wake()
    links.send_after_commit(messages)

    assert [message.key for message, _ in told] == [b"1", b"2"]
    assert all(isinstance(error, SendError) and "does not run" in str(error) for _, error in told)


def test_without_anybody_to_tell_nothing_is_raised() -> None:
    Links().send_after_commit([Outgoing("out-a", "a", None, b"x", (), new_event_id())])
