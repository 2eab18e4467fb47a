"""The headers of dead letters: Spring Cloud Stream's, Spring Kafka's of both generations, and streambind's own."""

from __future__ import annotations

from streambind.headers import LETTER_FACTS

X_TOPIC = "x-original-topic"
X_PARTITION = "x-original-partition"
X_OFFSET = "x-original-offset"
X_TIMESTAMP = "x-original-timestamp"
X_TIMESTAMP_TYPE = "x-original-timestamp-type"
X_FQCN = "x-exception-fqcn"
X_MESSAGE = "x-exception-message"
X_STACKTRACE = "x-exception-stacktrace"

DLT_TOPIC = "kafka_dlt-original-topic"
DLT_PARTITION = "kafka_dlt-original-partition"
DLT_OFFSET = "kafka_dlt-original-offset"
DLT_TIMESTAMP = "kafka_dlt-original-timestamp"
DLT_TIMESTAMP_TYPE = "kafka_dlt-original-timestamp-type"
DLT_GROUP = "kafka_dlt-original-consumer-group"
DLT_FQCN = "kafka_dlt-exception-fqcn"
DLT_CAUSE = "kafka_dlt-exception-cause-fqcn"
DLT_MESSAGE = "kafka_dlt-exception-message"
DLT_STACKTRACE = "kafka_dlt-exception-stacktrace"

ATTEMPTS = f"{LETTER_FACTS}attempts"
"""The first of the headers that streambind adds: it says where the message's own end."""
FIRST_FAILURE = f"{LETTER_FACTS}first-failure"
GROUP = f"{LETTER_FACTS}group"
LETTER_EVENT_ID = f"{LETTER_FACTS}event-id"
LETTER_SEQ = f"{LETTER_FACTS}seq"

REPLAY = f"{LETTER_FACTS}replay-"
"""What is said of a message that was replayed through a destination begins so; a message's, not a letter's."""
REPLAY_LETTER = f"{REPLAY}letter"
REPLAY_CAME_FROM = f"{REPLAY}came-from"
REPLAY_COUNT = f"{REPLAY}count"
REPLAY_BY = f"{REPLAY}by"

X_HEADERS = frozenset(
    {X_TOPIC, X_PARTITION, X_OFFSET, X_TIMESTAMP, X_TIMESTAMP_TYPE, X_FQCN, X_MESSAGE, X_STACKTRACE}
)
SPRING_KAFKA_PREFIXES = (
    "kafka_dlt-",
    "kafka_original-",
    "kafka_exception-",
    "kafka_key-exception-",
    "retry_topic-",
)
"""Of dead letters, and of records that went through Spring Kafka's retry topics."""
OUR_HEADERS = frozenset({ATTEMPTS, FIRST_FAILURE, GROUP, LETTER_EVENT_ID, LETTER_SEQ})
