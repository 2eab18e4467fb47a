"""What a handler raises that is meant for tasks and processes, not for messages."""

from __future__ import annotations

import asyncio
import threading

from streambind.errors import RetriableError
from streambind.failpoints import FailpointError
from streambind.inbound.reasons import told


def of_message(error: BaseException) -> BaseException:
    """The failure of the message whose handler let out `error`, which is no Exception: something that it awaited
    was cancelled, or it calls `sys.exit`. The error itself where it is not the handler's own: the application
    cancels its task, or a signal reached the main thread."""
    if isinstance(error, FailpointError):
        return error
    if isinstance(error, asyncio.CancelledError):
        return error if _is_cancelled() else _failure(error)
    return error if threading.current_thread() is threading.main_thread() else _failure(error)


def _failure(error: BaseException) -> RetriableError:
    return RetriableError(f"its handler raised {told(error)}, which ends a task or a process, not a message")


def _is_cancelled() -> bool:
    """Whether somebody cancels the task that runs here, if one does."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and task.cancelling() > 0
