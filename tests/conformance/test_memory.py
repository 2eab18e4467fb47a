"""The memory binder keeps the contract of the SPI."""

from __future__ import annotations

import pytest

from streambind.testing.binder_suite import *  # noqa: F403
from tests.conformance.memory_harness import MemoryHarness


@pytest.fixture
def harness() -> MemoryHarness:
    return MemoryHarness()
