"""Nothing is left of a test when the next one begins."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.binding.handles import happened, outages, services


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Nothing of a test goes on behind the next one: a service that tries again has a thread."""
    happened.clear()
    outages.clear()
    yield
    while services:
        service = services.pop()
        service.stop_inputs(1000)
        service.stop_outputs(1000)
