"""A real Apache Kafka broker of one node, from the jars on Maven Central."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.services.java import copy_jars, find_java
from tests.services.process import (
    STATE,
    free_port,
    locked,
)
from tests.services.server import Server

ROOT = STATE / "kafka"
LIBS = ROOT / "libs"
POM = Path(__file__).with_name("pom.xml")
LOGGING = Path(__file__).with_name("log4j2.properties")
READY_WITHIN_SECONDS = 90

# Only what one node needs and what makes times short; everything else is as a broker comes.
SETTINGS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "5",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "5",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.assignment.interval.ms": "0",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "6000",
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    "log.cleaner.dedupe.buffer.size": "4194304",
}
JVM_OPTIONS = ("-Xms128m", "-Xmx640m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")


def kafka_version() -> str:
    """That of the brokers that are started here, once they are installed."""
    jar = next(LIBS.glob("kafka-clients-*.jar"))
    return jar.stem.removeprefix("kafka-clients-")


class KafkaBroker(Server):
    """A broker in a directory of its own. Its address and its data outlive `kill()` and `restart()`.

    Without a directory it belongs to this Python process and is discarded at its exit. `settings` are added
    to the broker's properties. `host` is where it listens; `within` is a command that its own is given to, such as
    one that runs it in a network namespace.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        preferred_port: int | None = None,
        settings: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        within: Sequence[str] = (),
    ) -> None:
        super().__init__(directory, preferred_port=preferred_port)
        self._settings = dict(settings or {})
        self._host = host
        self._within = within

    @staticmethod
    def install() -> None:
        """Fetch the jars once; later calls return at once.

        Raises:
            ServiceUnavailable: Java or Maven is missing, or Maven Central cannot be reached.
        """
        find_java()
        stamp = LIBS / f"pom-{hashlib.sha256(POM.read_bytes()).hexdigest()[:16]}"
        if stamp.exists():
            return
        with locked(ROOT / "install.lock"):
            if not stamp.exists():
                copy_jars(POM, LIBS, what="Kafka")
                stamp.touch()

    @property
    def address(self) -> str:
        """`host:port`, the bootstrap address."""
        return f"{self._host}:{self._port}"

    def kill(self) -> None:
        """End the broker as a power cut would (SIGKILL); returns when it is gone."""
        self._server.kill()

    def pause(self) -> None:
        """Freeze the broker: connections stay open, nothing is answered."""
        self._server.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause()`."""
        self._server.signal(signal.SIGCONT)

    def stop(self) -> None:
        """Shut the broker down in order; its data stays."""
        self._server.signal(signal.SIGCONT)
        self._end(signal.SIGTERM)

    def _root(self) -> Path:
        return ROOT

    def _prepare(self, directory: Path) -> None:
        port, controller = free_port(self._preferred_port), self._controller_port()
        properties = {
            **SETTINGS,
            "listeners": f"PLAINTEXT://{self._host}:{port},CONTROLLER://{self._host}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self._host}:{port}",
            **self._quorum(controller),
            "log.dirs": str(directory / "data"),
            **self._settings,
        }
        (directory / "port").write_text(str(port))
        lines = [f"{key}={value}\n" for key, value in properties.items()]
        (directory / "server.properties").write_text("".join(lines))
        command = [*_java("kafka.tools.StorageTool"), "format", *self._identity(), "-c", "server.properties"]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"Kafka's storage could not be formatted: {done.stdout}{done.stderr}")

    def _controller_port(self) -> int:
        return free_port()

    def _quorum(self, controller: int) -> Mapping[str, str]:
        """The settings that say who decides: here itself alone."""
        return {"controller.quorum.bootstrap.servers": f"{self._host}:{controller}"}

    def _identity(self) -> Sequence[str]:
        """What its storage is formatted with."""
        return ["--standalone", "-t", new_cluster_id()]

    def _launch(self) -> None:
        server = self._server
        read_from = server.log.stat().st_size if server.log.exists() else 0
        server.start([*self._within, *_java("kafka.Kafka"), "server.properties"])

        def serves() -> bool:
            with contextlib.suppress(FileNotFoundError), server.log.open("rb") as log:
                log.seek(read_from)
                return b"Kafka Server started" in log.read()
            return False

        server.wait_until_ready(serves, READY_WITHIN_SECONDS)


def new_cluster_id() -> str:
    """A cluster's id, as Kafka writes it."""
    return "K" + urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]


def _java(main_class: str) -> list[str]:
    options = [*JVM_OPTIONS, f"-Dlog4j2.configurationFile={LOGGING}"]
    return [str(find_java()), *options, "-cp", f"{LIBS}/*", main_class]
