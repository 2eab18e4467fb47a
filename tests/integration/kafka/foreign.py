"""Records that no Python client can write, written with the C library that the client brings along."""

from __future__ import annotations

import ctypes
from pathlib import Path

import confluent_kafka
import pytest

_PRODUCER = 0
_END, _TOPIC, _VALUE, _KEY, _FLAGS, _HEADER = 0, 1, 4, 5, 7, 9
_COPY = 2


class ForeignProducer:
    """Writes header names of any bytes."""

    def __init__(self, brokers: str) -> None:
        self._library = ctypes.CDLL(str(_library()))
        self._library.rd_kafka_conf_new.restype = ctypes.c_void_p
        self._library.rd_kafka_new.restype = ctypes.c_void_p
        settings = ctypes.c_void_p(self._library.rd_kafka_conf_new())
        error = ctypes.create_string_buffer(500)
        self._library.rd_kafka_conf_set(
            settings, b"bootstrap.servers", brokers.encode(), error, ctypes.c_size_t(500)
        )
        self._handle = ctypes.c_void_p(
            self._library.rd_kafka_new(_PRODUCER, settings, error, ctypes.c_size_t(500))
        )
        assert self._handle, error.value

    def send(self, topic: str, value: bytes, key: bytes, header_name: bytes | None = None) -> None:
        arguments: list[object] = [self._handle, ctypes.c_int(_TOPIC), ctypes.c_char_p(topic.encode())]
        for tag, data in ((_VALUE, value), (_KEY, key)):
            arguments += [ctypes.c_int(tag), ctypes.c_char_p(data), ctypes.c_size_t(len(data))]
        arguments += [ctypes.c_int(_FLAGS), ctypes.c_int(_COPY)]
        if header_name is not None:
            name, content = ctypes.c_char_p(header_name), ctypes.c_char_p(b"v")
            arguments += [ctypes.c_int(_HEADER), name, content, ctypes.c_ssize_t(1)]
        assert self._library.rd_kafka_producev(*arguments, ctypes.c_int(_END)) == 0

    def close(self) -> None:
        """Wait until all is sent."""
        assert self._library.rd_kafka_flush(self._handle, ctypes.c_int(10_000)) == 0
        self._library.rd_kafka_destroy(self._handle)


def _library() -> Path:
    bundled = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    found = next(iter(bundled.glob("librdkafka*.so*")), None)
    if found is None:
        pytest.skip("the client brings no C library of its own here")
    return found
