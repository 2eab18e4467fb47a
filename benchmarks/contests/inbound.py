"""From the topic to a validated model, and a handler that does nothing."""

from __future__ import annotations

from benchmarks.contest import Contender, Contest
from benchmarks.contests.categories import full_topic

INBOUND = Contest(
    name="inbound",
    title="Inbound: JSON to a validated model and a handler that does nothing",
    contenders=(
        Contender("bare confluent-kafka loop (limit)", "bare:validated"),
        Contender("bare loop, the client's default settings", "bare:with_defaults"),
        Contender("streambind, listener", "streambind_listener:single", target=0.8),
        Contender("streambind, async listener", "streambind_listener:asynchronous"),
        Contender("streambind, batch listener", "streambind_listener:batch", target=0.9),
    ),
    prepare=full_topic,
    note=(
        "The limit is a loop of `consume(500)` and pydantic's `model_validate_json` that stores offsets per "
        "batch, with the client settings that streambind chooses; with the client's defaults it waits for most "
        "of the time."
    ),
)
