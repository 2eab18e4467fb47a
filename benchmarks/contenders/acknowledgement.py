"""How long it takes from a commit to the broker's acknowledgement of its event, at a given rate of commits."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from confluent_kafka import Producer
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from benchmarks.contenders.latency import Arrivals, commit_by_hand, timed, total_of, with_topic, written
from benchmarks.contenders.publishing import Category, application, commit, engine_of
from streambind import StreamApplication
from streambind.binders.kafka.fenced_producer import KafkaFencedProducer
from streambind.binders.kafka.producer import KafkaProducerBinding
from streambind.binding.outcome import Sent
from streambind.message import Message

_LOOK_S = 0.02


def bare(course: dict[str, Any]) -> dict[str, float]:
    """The limit: a commit, a message, and its delivery report."""
    course = with_topic(course)
    engine = engine_of(course)
    producer = Producer({"bootstrap.servers": course["brokers"], "enable.idempotence": True, "linger.ms": 0})
    producer.list_topics(course["topic"])
    arrivals, told = _here(course)

    def write(now_ns: int) -> None:
        def report(error: object, _: object) -> None:
            assert error is None
            arrivals.saw([now_ns])

        commit_by_hand(engine, now_ns)
        producer.produce(course["topic"], b"%d" % now_ns, on_delivery=report)

    done = threading.Event()
    poller = threading.Thread(target=lambda: [producer.poll(_LOOK_S) for _ in iter(done.is_set, True)])
    poller.start()
    found = written(course, told, write)
    done.set()
    poller.join()
    return found


def streambind(course: dict[str, Any]) -> dict[str, float]:
    """Who commits relays as well."""
    course = with_topic(course)
    sessions = sessionmaker(engine_of(course))
    arrivals, told = _here(course)
    with _told_of(arrivals), application(course, sessions) as running:
        _await_shards(running)
        return written(course, told, lambda now_ns: commit(sessions, Category, 1, now_ns))


def relayed_elsewhere(course: dict[str, Any]) -> dict[str, float]:
    """The relay is a process of its own."""
    course = with_topic(course)
    sessions = sessionmaker(engine_of(course))
    with application(course, sessions, relay=False):
        return timed(course, relay_for_others, lambda now_ns: commit(sessions, Category, 1, now_ns))


def relay_for_others(course: dict[str, Any], arrivals: Arrivals) -> None:
    running = application(course, sessionmaker(create_engine(course["database"])))
    with _told_of(arrivals) as done:
        running.start(relay_only=True)
        _await_shards(running)
        arrivals.ready()
        done.wait()
        running.stop()


@contextmanager
def _told_of(arrivals: Arrivals) -> Iterator[threading.Event]:
    """While it lasts, whatever the relay's producers have sent has arrived; set at the end of all."""
    done, lock = threading.Event(), threading.Lock()
    kinds = (KafkaProducerBinding, KafkaFencedProducer)
    sends = [kind.send for kind in kinds]

    def telling(send: Any) -> Any:
        def send_and_tell(self: Any, messages: Sequence[Message]) -> Any:
            results = send(self, messages)
            sent = [message for message, one in zip(messages, results, strict=True) if isinstance(one, Sent)]
            with lock:  # fenced producers send at the same time
                if not arrivals.saw([json.loads(message.payload or b"")["begunNs"] for message in sent]):
                    done.set()
            return results

        return send_and_tell

    for kind, send in zip(kinds, sends, strict=True):
        kind.send = telling(send)  # type: ignore[method-assign]
    try:
        yield done
    finally:
        for kind, send in zip(kinds, sends, strict=True):
            kind.send = send  # type: ignore[method-assign]


def _here(course: dict[str, Any]) -> tuple[Arrivals, Connection]:
    """Arrivals in this process, and where they are told."""
    ours, theirs = multiprocessing.Pipe()
    return Arrivals(total_of(course), theirs), ours


def _await_shards(running: StreamApplication) -> None:
    while running.relay is None or len(running.relay.shards) < 16:
        time.sleep(_LOOK_S)
