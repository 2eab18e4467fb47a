"""What integration tests of several folders ask for."""

from __future__ import annotations

import pytest

from streambind.outbound import relay_pace


@pytest.fixture
def without_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relays look when they are woken, and only then; and after what they have sent."""
    monkeypatch.setattr(relay_pace, "_SHORTEST_POLL_S", 3600.0)
