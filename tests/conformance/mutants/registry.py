"""Mutants: ways to break the memory binder, each with the suite's test that must notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streambind.binders.memory import MemoryBinder
from streambind.binding.binder import ConsumerTarget, Deliver
from streambind.binding.outcome import Outcome
from streambind.message import Batch

Break = Callable[[pytest.MonkeyPatch], None]

MUTANTS: dict[str, tuple[Break, str]] = {}
"""Name of the mutant: what breaks the binder, and `TestClass.test_name`."""


def mutant(noticed_by: str) -> Callable[[Break], Break]:
    def register(break_it: Break) -> Break:
        MUTANTS[break_it.__name__] = (break_it, noticed_by)
        return break_it

    return register


def around(patch: pytest.MonkeyPatch, owner: type, name: str, instead: Callable[..., Any]) -> None:
    """Replace a method by `instead(original, *arguments)`."""
    original = getattr(owner, name)

    def replaced(*arguments: Any, **named: Any) -> Any:
        return instead(original, *arguments, **named)

    patch.setattr(owner, name, replaced)


def instead_of_deliver(patch: pytest.MonkeyPatch, instead: Callable[[Deliver, Batch], Outcome]) -> None:
    """Put `instead(deliver, batch)` between the binder and the core."""

    def bind(original: Any, binder: MemoryBinder, target: ConsumerTarget, deliver: Deliver) -> Any:
        return original(binder, target, lambda batch: instead(deliver, batch))

    around(patch, MemoryBinder, "bind_consumer", bind)
