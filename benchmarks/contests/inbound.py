"""From the topic to a validated model, and a handler that does nothing."""

from __future__ import annotations

from benchmarks.contest import Contender, Contest
from benchmarks.contests.categories import full_topic


def _faststream(setting: str, function: str, *, share: float) -> list[Contender]:
    return [
        Contender(
            f"FastStream, {client}, {setting}",
            f"faststream_listener:{function}",
            "faststream",
            {"client": module, "share": share},
        )
        for client, module in (("confluent", "confluent"), ("aiokafka", "kafka"))
    ]


INBOUND = Contest(
    name="inbound",
    title="Inbound: JSON to a validated model and a handler that does nothing",
    contenders=(
        Contender("bare confluent-kafka loop (limit)", "bare:validated"),
        Contender("bare loop, the client's default settings", "bare:with_defaults", arguments={"share": 0.1}),
        Contender("streambind, listener", "streambind_listener:single", target=0.8),
        Contender("streambind, async listener", "streambind_listener:asynchronous"),
        Contender("streambind, batch listener", "streambind_listener:batch", target=0.9),
        Contender("Quix Streams", "quix:validated", "quixstreams", {"share": 0.2}),
        *_faststream("by default", "by_default", share=0.05),
        *_faststream("at least once", "at_least_once", share=0.004),
        Contender("kstreams, by default", "kstreams_listener:by_default", "kstreams", {"share": 0.2}),
        Contender("kstreams, at least once", "kstreams_listener:at_least_once", "kstreams", {"share": 0.004}),
    ),
    courses={"": {"messages": 1_000_000}},
    prepare=full_topic,
    note=(
        "The limit is a loop of `consume(500)` and pydantic's `model_validate_json` that stores offsets per "
        "batch, with the client settings that streambind chooses; with the client's defaults it waits for most "
        "of the time. Quix Streams has the same settings, and at least once by default; FastStream and kstreams "
        "run on uvloop, and by default their clients commit by time, whether the handler is through or not; at "
        "least once they commit after every message, which is their setting for it. Slow ones read a part of the "
        "messages."
    ),
)
