"""A network of its own whose one wire to this one is carried by hand, packet by packet: they come late, get lost,
or go one way only, and connections are forgotten. The kernel's own TCP at both ends has to make do with that.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import subprocess
import threading
import time
from dataclasses import dataclass

AS_ROOT = () if os.geteuid() == 0 else ("sudo", "-n")
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_PACKET_BYTES = 65_536
_TCP = 6
_IDLE_S = 0.5


@dataclass(frozen=True, slots=True)
class Way:
    """How packets of one direction travel: which share of them gets lost, and how late the others come."""

    loss: float = 0.0
    delay_s: float = 0.0


GOOD, GONE = Way(), Way(loss=1.0)


class Namespace:
    """The network, in which a server may run, and the wire to it. `there` and `back` say how packets travel to it
    and from it, and may be set at any time."""

    def __init__(self) -> None:
        number = os.getpid() % 250
        self._name = f"streambind-{os.getpid()}"
        self._ends = tuple(f"sb{os.getpid() % 1_000_000}{end}" for end in "oi")
        self._here, self.address = f"10.213.{number}.1", f"10.213.{number}.2"
        self._wire: _Wire | None = None
        self.within = (*AS_ROOT, "ip", "netns", "exec", self._name)
        self.there = self.back = GOOD

    def make(self) -> None:
        """
        Raises:
            OSError, subprocess.CalledProcessError: not allowed, or not installed.
        """
        outer, inner = self._ends
        _ip("netns", "add", self._name)
        for end in self._ends:
            _ip("tuntap", "add", "dev", end, "mode", "tun", "user", str(os.geteuid()))
        self._wire = _Wire(self, _opened(outer), _opened(inner))
        _ip("link", "set", inner, "netns", self._name)
        _ip("address", "add", f"{self._here}/24", "dev", outer)
        _ip("link", "set", outer, "up")
        _ip("-n", self._name, "address", "add", f"{self.address}/24", "dev", inner)
        _ip("-n", self._name, "link", "set", "lo", "up")
        _ip("-n", self._name, "link", "set", inner, "up")
        self._wire.start()

    def part(self) -> None:
        """Packets to and fro vanish."""
        self.there = self.back = GONE

    def heal(self) -> None:
        """All is well; what is forgotten stays so."""
        self.there = self.back = GOOD

    def forget_connections(self) -> None:
        """Packets of the connections so far vanish from now on, and nobody is told; new connections are welcome.
        So does a firewall that lost its memory."""
        assert self._wire is not None
        self._wire.forget_connections()

    def remove(self) -> None:
        if self._wire is not None:
            self._wire.close()
        for words in (("netns", "del", self._name), ("link", "del", self._ends[0])):
            subprocess.run([*AS_ROOT, "ip", *words], capture_output=True, check=False)


class _Wire:
    """A thread that carries packets between the two ends."""

    def __init__(self, network: Namespace, outer: int, inner: int) -> None:
        self._network = network
        self._outer, self._inner = outer, inner
        self._late: list[tuple[float, int, int, bytes]] = []
        self._numbers = itertools.count()
        self._known: set[bytes] = set()
        self._forgotten: frozenset[bytes] = frozenset()
        self._closed = False
        self._thread = threading.Thread(target=self._carry, name="tests-wire", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def forget_connections(self) -> None:
        self._forgotten = frozenset(self._known.copy())

    def close(self) -> None:
        self._closed = True
        if self._thread.ident is not None:
            self._thread.join()
        for end in (self._outer, self._inner):
            os.close(end)

    def _carry(self) -> None:
        chance = random.Random()
        while not self._closed:
            now = time.monotonic()
            while self._late and self._late[0][0] <= now:
                _, _, end, packet = heapq.heappop(self._late)
                with contextlib.suppress(OSError):  # Full, as wires are, or taken away.
                    os.write(end, packet)
            wait_s = self._late[0][0] - now if self._late else _IDLE_S
            for end in select.select([self._outer, self._inner], [], [], wait_s)[0]:
                to, way = (
                    (self._inner, self._network.there) if end == self._outer else (self._outer, self._network.back)
                )
                with contextlib.suppress(OSError):
                    packet = os.read(end, _PACKET_BYTES)
                    if not self._is_forgotten(packet) and chance.random() >= way.loss:
                        due = time.monotonic() + way.delay_s
                        heapq.heappush(self._late, (due, next(self._numbers), to, packet))

    def _is_forgotten(self, packet: bytes) -> bool:
        if packet[0] >> 4 != 4 or packet[9] != _TCP:
            return False
        ports = (packet[0] & 0xF) * 4
        ends = (packet[12:16] + packet[ports : ports + 2], packet[16:20] + packet[ports + 2 : ports + 4])
        connection = b"".join(sorted(ends))
        self._known.add(connection)
        return connection in self._forgotten


def _opened(device: str) -> int:
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TUN | _IFF_NO_PI))
    except OSError:
        os.close(end)
        raise
    return end


def _ip(*arguments: str) -> None:
    subprocess.run([*AS_ROOT, "ip", *arguments], capture_output=True, check=True)
