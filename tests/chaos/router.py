"""A router in user space, as a process of its own: every packet between peers passes here.

``python -m tests.chaos.router SEED FD=ADDRESS ...`` owns the TUN devices at the descriptors it
inherits. Each line on standard input is the network's condition from then on, as JSON
(:class:`Condition`); the end of standard input ends it, with its counts on standard output.
Losses are drawn from the seed, packet by packet; when packets come is up to the kernel.
"""

from __future__ import annotations

import heapq
import json
import os
import random
import selectors
import socket
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Final

__all__ = ["Condition", "Counts", "Router"]

_MAX_PACKET_BYTES: Final = 2048
"""Above the devices' MTU."""
_MAX_WAITING_PACKETS: Final = 50_000
"""About 70 MB; what comes on top is lost, as in any router."""
_MAX_PACKETS_A_TURN: Final = 64
"""From one device, before the others are looked at."""
_MAX_LINE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Condition:
    """What happens to packets: probabilities, seconds, and links (from, to) that carry nothing."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    blocked: frozenset[tuple[str, str]] = frozenset()

    def merged(self, other: Condition) -> Condition:
        """Return both at once."""
        return Condition(
            1 - (1 - self.loss) * (1 - other.loss),
            1 - (1 - self.duplication) * (1 - other.duplication),
            self.delay_s + other.delay_s,
            self.jitter_s + other.jitter_s,
            self.blocked | other.blocked,
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self) | {"blocked": sorted(self.blocked)})

    @classmethod
    def from_json(cls, text: str | bytes) -> Condition:
        fields = json.loads(text)
        blocked = frozenset((source, target) for source, target in fields.pop("blocked"))
        return cls(**fields, blocked=blocked)


@dataclass(slots=True)
class Counts:
    """Packets: what became of them."""

    forwarded: int = 0
    lost: int = 0
    blocked: int = 0
    duplicated: int = 0
    delayed: int = 0
    overflowed: int = 0


@dataclass(slots=True)
class Router:
    """Decides about packets. No I/O: the caller sends what is due."""

    ports: dict[bytes, int]
    """The descriptor of each address, an IPv4 one in four bytes."""
    random: random.Random
    condition: Condition = Condition()
    counts: Counts = field(default_factory=Counts)
    _waiting: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    _blocked: frozenset[tuple[bytes, bytes]] = frozenset()
    _number: int = 0

    def apply(self, condition: Condition) -> None:
        """Go by ``condition`` from now on; packets that wait still arrive."""
        self.condition = condition
        self._blocked = frozenset(
            (socket.inet_aton(source), socket.inet_aton(target))
            for source, target in condition.blocked
        )

    def receive(self, packet: bytes, now: float) -> None:
        """Take one packet: forget it, or have it wait until it is due, perhaps twice."""
        source, target = packet[12:16], packet[16:20]
        port = self.ports.get(target)
        if port is None or packet[0] >> 4 != 4:  # IPv6's neighbour discovery, multicast
            return
        if (source, target) in self._blocked:
            self.counts.blocked += 1
            return
        condition = self.condition
        if condition.loss and self.random.random() < condition.loss:
            self.counts.lost += 1
            return
        self._wait(packet, port, now)
        if condition.duplication and self.random.random() < condition.duplication:
            self.counts.duplicated += 1
            self._wait(packet, port, now)

    def _wait(self, packet: bytes, port: int, now: float) -> None:
        if len(self._waiting) >= _MAX_WAITING_PACKETS:
            self.counts.overflowed += 1
            return
        due = now
        if self.condition.delay_s or self.condition.jitter_s:
            self.counts.delayed += 1
            due += max(0.0, self.random.gauss(self.condition.delay_s, self.condition.jitter_s))
        self._number += 1
        heapq.heappush(self._waiting, (due, self._number, port, packet))

    def due(self, now: float) -> list[tuple[int, bytes]]:
        """Return the packets to send now, each with its port."""
        packets = []
        while self._waiting and self._waiting[0][0] <= now:
            _, _, port, packet = heapq.heappop(self._waiting)
            packets.append((port, packet))
        self.counts.forwarded += len(packets)
        return packets

    def next_due(self) -> float | None:
        return self._waiting[0][0] if self._waiting else None


def _serve(router: Router) -> None:
    selector = selectors.DefaultSelector()
    for port in router.ports.values():
        selector.register(port, selectors.EVENT_READ)
    os.set_blocking(sys.stdin.fileno(), False)
    selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
    line = b""
    while True:
        due = router.next_due()
        ready = selector.select(None if due is None else max(0.0, due - time.monotonic()))
        for key, _ in ready:
            if key.fd != sys.stdin.fileno():
                _take(router, key.fd)
                continue
            chunk = os.read(key.fd, _MAX_LINE_BYTES)
            if not chunk:
                return
            *whole, line = (line + chunk).split(b"\n")
            for text in whole:
                router.apply(Condition.from_json(text))
        for port, packet in router.due(time.monotonic()):
            try:
                os.write(port, packet)
            except OSError:  # its queue is full, or its device is down
                router.counts.overflowed += 1


def _take(router: Router, port: int) -> None:
    for _ in range(_MAX_PACKETS_A_TURN):
        try:
            packet = os.read(port, _MAX_PACKET_BYTES)
        except BlockingIOError:
            return
        router.receive(packet, time.monotonic())


def _main(seed: str, *ports: str) -> None:
    pairs = (port.split("=") for port in ports)
    router = Router(
        {socket.inet_aton(address): int(fd) for fd, address in pairs}, random.Random(seed)
    )
    _serve(router)
    sys.stdout.write(json.dumps(asdict(router.counts)) + "\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
