"""A batch that is seen differently in some respects, and is itself in all others."""

from __future__ import annotations

from typing import Any

from streambind.message import Batch


class BatchView:
    """What a subclass does not define is the batch's own."""

    ahead = None
    """What was found in the batch itself when it was read ahead does not hold."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def __len__(self) -> int:
        return len(self._batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)
