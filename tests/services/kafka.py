"""A real Apache Kafka broker of one node, from the jars on Maven Central."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import signal
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.services.java import copy_jars, find_java
from tests.services.process import (
    STATE,
    ServerProcess,
    at_exit_of_this_process,
    free_port,
    locked,
    make_directory,
    run_directory,
    sweep,
)

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


class KafkaBroker:
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
        self._belongs_to_this_process = directory is None
        self._directory = directory
        self._preferred_port = preferred_port
        self._settings = dict(settings or {})
        self._host = host
        self._within = within
        self._process: ServerProcess | None = None

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
                copy_jars(POM, LIBS)
                stamp.touch()

    def start(self) -> str:
        """Start the broker on empty storage and return its address when it serves.

        Raises:
            ServiceUnavailable: it cannot be had on this machine.
            RuntimeError: it does not come up; with the end of its log.
        """
        self.install()
        sweep(ROOT)
        if self._directory is None:
            self._directory = run_directory(ROOT)
        else:
            ServerProcess(self._directory).kill()
            make_directory(self._directory)
        if self._belongs_to_this_process:
            at_exit_of_this_process(self.discard)
        self._process = ServerProcess(self._directory)
        self._format(self._directory)
        self._launch()
        (self._directory / "ready").touch()
        return self.address

    @property
    def address(self) -> str:
        """`host:port`, the bootstrap address."""
        return f"{self._host}:{(self._server.directory / 'port').read_text()}"

    @property
    def log(self) -> Path:
        """The broker's log file."""
        return self._server.log

    def is_running(self) -> bool:
        return self._process is not None and self._process.is_running()

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
        self._server.signal(signal.SIGTERM)
        if not self._server.wait_until_gone(20):
            self._server.kill()

    def restart(self) -> None:
        """Start again on the same address with the same data, after `kill()` or `stop()`."""
        if self.is_running():
            self.stop()
        self._launch()

    def discard(self) -> None:
        """Kill the broker, if it runs, and delete its data. May be called more than once."""
        if self._process is not None:
            self._process.kill()
            shutil.rmtree(self._process.directory, ignore_errors=True)

    @classmethod
    def at(cls, directory: Path) -> KafkaBroker | None:
        """The running broker that another process started in `directory`, None if there is none."""
        broker = cls(directory)
        broker._process = ServerProcess(directory)
        return broker if broker.is_running() and (directory / "ready").exists() else None

    def _format(self, directory: Path) -> None:
        port, controller = free_port(self._preferred_port), free_port()
        properties = {
            **SETTINGS,
            "listeners": f"PLAINTEXT://{self._host}:{port},CONTROLLER://{self._host}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self._host}:{port}",
            "controller.quorum.bootstrap.servers": f"{self._host}:{controller}",
            "log.dirs": str(directory / "data"),
            **self._settings,
        }
        (directory / "port").write_text(str(port))
        lines = [f"{key}={value}\n" for key, value in properties.items()]
        (directory / "server.properties").write_text("".join(lines))
        cluster = "K" + urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        command = [*_java("kafka.tools.StorageTool"), "format", "--standalone", "-t", cluster]
        command += ["-c", "server.properties"]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"Kafka's storage could not be formatted: {done.stdout}{done.stderr}")

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

    @property
    def _server(self) -> ServerProcess:
        if self._process is None:
            raise RuntimeError("the broker was never started; call start() first")
        return self._process


def _java(main_class: str) -> list[str]:
    options = [*JVM_OPTIONS, f"-Dlog4j2.configurationFile={LOGGING}"]
    return [str(find_java()), *options, "-cp", f"{LIBS}/*", main_class]
