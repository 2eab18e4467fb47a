"""Sending what waits in the outbox: by hand, and by the relay."""

from __future__ import annotations

import json
import time
from typing import Any

import psycopg
from confluent_kafka import Producer
from sqlalchemy import bindparam, create_engine, make_url, text
from sqlalchemy.orm import sessionmaker

from benchmarks.contenders.publishing import OUTPUT, application, engine_of

BATCH = 1_000
"""What the relay reads at once, too."""

_FILL = """
    INSERT INTO sb_outbox
        (shard, binding, destination, key, seq, event_id, payload, headers, partition, created_ms)
    SELECT n % 16, :binding, :topic, convert_to((n % 1000)::text, 'UTF8'), 1 + n / 1000, gen_random_uuid(),
        convert_to('{"eventType":"CategoryChanged","timestamp":"2022-08-08-12:12:37","jobType":"INSERT","id":' || n
            || ',"name":"최종테스트","description":"' || repeat('x', 100) || '","begunNs":0}', 'UTF8'),
        :headers, NULL, CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)
    FROM generate_series(1, :count) AS n
"""
_TYPES = '{"type":"java.lang.String","contentType":"java.lang.String"}'
_HEADERS = [["type", "CategoryChanged"], ["contentType", "application/json"], ["spring_json_header_types", _TYPES]]
_PAUSE_S = 0.02


def by_hand(course: dict[str, Any]) -> dict[str, float]:
    """The limit: what a person would write for speed, for one process that never dies."""
    _fill(course)
    topic, count = course["topic"], course["rows"]
    producer = Producer({"bootstrap.servers": course["brokers"], "enable.idempotence": True, "linger.ms": 5})
    producer.list_topics(topic)

    def refuse(error: object, _: object) -> None:
        if error is not None:
            raise RuntimeError(str(error))

    connection = psycopg.connect(make_url(course["database"]).set(drivername="postgresql").render_as_string(False))
    began, sent = time.perf_counter(), 0
    while sent < count:
        rows = connection.execute(
            "SELECT id, key, payload, headers, event_id FROM sb_outbox ORDER BY id LIMIT %s", (BATCH,)
        ).fetchall()
        for _, key, payload, headers, event_id in rows:
            named = [*map(tuple, json.loads(headers)), ("sb-event-id", str(event_id))]
            producer.produce(topic, payload, key, headers=named, on_delivery=refuse)
        producer.flush()
        connection.execute("DELETE FROM sb_outbox WHERE id = ANY(%s)", ([row[0] for row in rows],))
        connection.commit()
        sent += len(rows)
    return {"rate": count / (time.perf_counter() - began)}


def relay(course: dict[str, Any]) -> dict[str, float]:
    _fill(course)
    running = application(course, sessionmaker(create_engine(course["database"])))

    def sent() -> int:
        return 0 if running.relay is None else running.relay.sent

    with running:
        while sent() == 0:
            time.sleep(_PAUSE_S)
        began, before = time.perf_counter(), sent()
        while sent() < course["rows"]:
            time.sleep(_PAUSE_S)
        return {"rate": (course["rows"] - before) / (time.perf_counter() - began)}


def _fill(course: dict[str, Any]) -> None:
    engine = engine_of(course)
    with engine.begin() as connection:
        connection.execute(
            text(_FILL.replace('":', r'"\:')).bindparams(bindparam("headers", json.dumps(_HEADERS))),
            {"binding": OUTPUT, "topic": course["topic"], "count": course["rows"]},
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE sb_outbox")
    engine.dispose()
