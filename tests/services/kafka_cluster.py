"""An Apache Kafka cluster of three nodes: what one of them has, two have; any one of them may be lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka.admin import AdminClient, PartitionMetadata  # type: ignore[attr-defined]

from tests.services.kafka import KafkaBroker, new_cluster_id
from tests.services.process import free_ports

NODES = 3
_ANSWER_S = 10.0

SETTINGS: Mapping[str, str] = {
    "default.replication.factor": str(NODES),
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": str(NODES),
    "transaction.state.log.replication.factor": str(NODES),
    "transaction.state.log.min.isr": "2",
    "replica.lag.time.max.ms": "4000",
}


class KafkaNode(KafkaBroker):
    """One of a cluster, broker and controller in one. `controllers`: the ports of all, by node."""

    def __init__(self, node: int, controllers: Mapping[int, int], cluster: str) -> None:
        super().__init__(settings={**SETTINGS, "node.id": str(node)})
        self._node = node
        self._controllers = controllers
        self._cluster = cluster

    def _controller_port(self) -> int:
        return self._controllers[self._node]

    def _quorum(self, controller: int) -> Mapping[str, str]:
        voters = (f"{node}@{self._host}:{port}" for node, port in self._controllers.items())
        return {"controller.quorum.voters": ",".join(voters)}

    def _identity(self) -> Sequence[str]:
        return ["-t", self._cluster]


class KafkaCluster:
    """Three nodes, numbered from 1. Belongs to this Python process, as its nodes do."""

    def __init__(self) -> None:
        ports = free_ports(NODES)
        cluster = new_cluster_id()
        controllers = dict(enumerate(ports, start=1))
        self.nodes = {node: KafkaNode(node, controllers, cluster) for node in controllers}

    def start(self) -> str:
        """Start all nodes, which wait for each other; returns the `address`.

        Raises:
            ServiceUnavailable: they cannot be had on this machine.
            RuntimeError: one of them does not come up; with the end of its log.
        """
        with ThreadPoolExecutor(NODES) as pool:
            list(pool.map(KafkaNode.start, self.nodes.values()))
        return self.address

    @property
    def address(self) -> str:
        """The bootstrap addresses of all nodes."""
        return ",".join(node.address for node in self.nodes.values())

    def leaders(self, topic: str) -> Mapping[int, int]:
        """The node that leads each partition of a topic, -1: none does."""
        return {number: partition.leader for number, partition in self._partitions(topic).items()}

    def is_whole(self, topic: str) -> bool:
        """Whether all nodes have all that is in a topic."""
        return all(len(partition.isrs) == NODES for partition in self._partitions(topic).values())

    def _partitions(self, topic: str) -> Mapping[int, PartitionMetadata]:
        admin = AdminClient({"bootstrap.servers": self.address, "log_level": "0"})
        return admin.list_topics(topic, timeout=_ANSWER_S).topics[topic].partitions

    def discard(self) -> None:
        """End all nodes and delete their data."""
        for node in self.nodes.values():
            node.discard()
