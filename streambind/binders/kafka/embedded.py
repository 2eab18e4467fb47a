"""A Kafka broker inside this process, for tests and demonstrations: the one that librdkafka carries.

It keeps everything in memory and forgets old records past some megabytes per partition. Clients of any process
on the machine can use it: it answers on the port it was given. It needs confluent-kafka 2.16.
"""

from __future__ import annotations

import ctypes
import threading
from types import TracebackType
from typing import Any, Self

from streambind.binders.kafka.embedded_groups import Groups
from streambind.binders.kafka.embedded_wire import CREATE_TOPICS, Conversation
from streambind.binders.kafka.forwarder import Forwarder
from streambind.binders.kafka.librdkafka import INT, INT16, INT32, POINTER, SIZE, TEXT, function
from streambind.errors import BrokerUnavailableError, LifecycleError

_ERROR_BYTES = 512


class EmbeddedBroker:
    """One or more brokers on 127.0.0.1. `port` 0 takes a free one; with several brokers the others take the
    ports after it, or free ones.

    Topics are made with `create_topic`, or when somebody first asks for them (`default_partitions`). A classic
    group joins without the delay that brokers otherwise give it, also, with one broker, when it begins anew after
    all of its members had left.
    """

    def __init__(self, port: int = 0, *, brokers: int = 1, default_partitions: int = 1) -> None:
        self._port = port
        self._brokers = brokers
        self._default_partitions = default_partitions
        self._lock = threading.Lock()
        self._topics_lock = threading.Lock()
        self._handle: Any = None
        self._cluster: Any = None
        self._forwarders: list[Forwarder] = []
        self._topics: dict[str, int] = {}
        self._withheld: set[int] = set()
        self._groups = Groups()

    def start(self) -> EmbeddedBroker:
        """
        Raises:
            BrokerUnavailableError: this platform's client has no such broker, or the port is taken.
        """
        with self._lock:
            if self._cluster is not None:
                raise LifecycleError("the embedded broker runs already")
            try:
                self._start()
            except OSError as exc:
                self._destroy()
                raise BrokerUnavailableError(f"the embedded broker cannot start: {exc}") from exc
        return self

    def stop(self) -> None:
        """Forget everything. Idempotent."""
        with self._lock:
            self._destroy()

    @property
    def address(self) -> str:
        """`host:port` of every broker."""
        return ",".join(forwarder.address for forwarder in self._running())

    def create_topic(self, name: str, partitions: int | None = None) -> None:
        """Make a topic; one that exists stays as it is."""
        with self._lock:
            self._running()
            self._create(name, partitions)

    def partitions(self, name: str) -> int | None:
        """How many partitions a topic made here has."""
        return self._topics.get(name)

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Forget a partition's records before an offset, as retention does."""
        delete = function("rd_kafka_mock_partition_delete_records", INT, [POINTER, TEXT, INT32, ctypes.c_int64])
        self._running()
        error = delete(self._cluster, topic.encode(), partition, before)
        if error:
            raise BrokerUnavailableError(
                f"the embedded broker deleted no records of {topic}[{partition}]: {error}"
            )

    def go_away(self) -> None:
        """Break every connection and refuse new ones, until `come_back`; nothing is lost."""
        for forwarder in self._running():
            forwarder.close_door()

    def come_back(self) -> None:
        for forwarder in self._running():
            forwarder.open_door()

    def fail_next(self, api: int, *errors: int) -> None:
        """Answer the next requests of a kind (Kafka's number for it) with these error codes, one each."""
        self._running()
        push = function(
            "rd_kafka_mock_push_request_errors_array", None, [POINTER, INT16, SIZE, ctypes.POINTER(INT)]
        )
        push(self._cluster, api, len(errors), (INT * len(errors))(*errors))

    def withhold(self, api: int) -> None:
        """Be a broker that does not know a kind of request, for clients that connect from now on."""
        self._running()
        self._withheld.add(api)
        function("rd_kafka_mock_set_apiversion", INT, [POINTER, INT16, INT16, INT16])(self._cluster, api, -1, -1)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _running(self) -> list[Forwarder]:
        if self._cluster is None:
            raise LifecycleError("the embedded broker does not run; start it first")
        return self._forwarders

    def _start(self) -> None:
        self._handle = _host()
        make = function("rd_kafka_mock_cluster_new", POINTER, [POINTER, INT])
        self._cluster = make(self._handle, self._brokers)
        if not self._cluster:
            raise OSError("librdkafka made no cluster")
        function("rd_kafka_mock_group_initial_rebalance_delay_ms", None, [POINTER, INT32])(self._cluster, 0)
        function("rd_kafka_mock_set_controller_id", INT, [POINTER, INT32])(self._cluster, 1)
        addresses = function("rd_kafka_mock_cluster_bootstraps", TEXT, [POINTER])(self._cluster).decode()
        advertise = function("rd_kafka_mock_broker_set_host_port", None, [POINTER, INT32, TEXT, INT])
        for number, address in enumerate(addresses.split(","), start=1):
            wanted = self._port + number - 1 if self._port else 0
            forwarder = Forwarder(int(address.rpartition(":")[2]), wanted, self._conversation)
            self._forwarders.append(forwarder)
            advertise(self._cluster, number, b"127.0.0.1", forwarder.port)

    def _conversation(self) -> Conversation:
        # Of several brokers a group's name says which one looks after it.
        rename = self._groups.renamed if self._brokers == 1 else None
        creates = CREATE_TOPICS not in self._withheld
        return Conversation(self._create, creates_topics=creates, rename_group=rename)

    def _create(self, name: str, partitions: int | None) -> bool:
        """Called by the connections' threads too, also while others ask for the same topic."""
        with self._topics_lock:
            if name in self._topics or not self._cluster:
                return False
            self._topics[name] = partitions or self._default_partitions
            create = function("rd_kafka_mock_topic_create", INT, [POINTER, TEXT, INT, INT])
            create(self._cluster, name.encode(), self._topics[name], 1)
            return True

    def _destroy(self) -> None:
        for forwarder in self._forwarders:
            forwarder.close()
        self._forwarders = []
        self._topics = {}
        self._withheld = set()
        self._groups = Groups()
        if self._cluster:
            function("rd_kafka_mock_cluster_destroy", None, [POINTER])(self._cluster)
        if self._handle:
            function("rd_kafka_destroy", None, [POINTER])(self._handle)
        self._cluster = self._handle = None


def _host() -> Any:
    """The client that a cluster needs to live in; it connects to nothing."""
    settings = function("rd_kafka_conf_new", POINTER, [])()
    error = ctypes.create_string_buffer(_ERROR_BYTES)
    set_to = function("rd_kafka_conf_set", INT, [POINTER, TEXT, TEXT, TEXT, SIZE])
    for name, value in ((b"client.id", b"embedded-broker"), (b"log_level", b"0")):
        if set_to(settings, name, value, error, _ERROR_BYTES) != 0:
            raise OSError(error.value.decode())
    handle = function("rd_kafka_new", POINTER, [INT, POINTER, TEXT, SIZE])(0, settings, error, _ERROR_BYTES)
    if not handle:
        raise OSError(error.value.decode())
    return handle
