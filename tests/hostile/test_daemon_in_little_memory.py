"""One real daemon that may not have more than a set amount of memory, and clients who mean harm."""

from __future__ import annotations

import resource
import socket
from contextlib import ExitStack
from pathlib import Path

import trio
from multiaddr import Multiaddr

from keys.cluster_secret import ClusterSecret
from keys.identity import Identity
from keys.peer_id import PeerID
from node.swarm.host import open_swarm
from tests.hostile.attacks import BROKEN_FRAMES
from tests.hostile.world import LOOPBACK, RAFT, RPC, open_raw
from tests.node.fakes import CID_V0
from tests.system.daemons import Daemon, made_peers

_MOST_DATA_BYTES = 512 * 1024 * 1024
"""What the kernel gives it: address space of thread stacks counts, of which little is used."""
_MOST_RESIDENT_KIB = 256 * 1024


def _resident_kib(daemon: Daemon) -> int:
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1])


def _shout_at_the_api(daemon: Daemon, held: ExitStack) -> None:
    """Slow clients that hold their connections, heads and bodies without end, and no HTTP at all."""
    port = int(daemon.url.rpartition(":")[2])
    beginnings = [
        b"GET /id HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"POST /peers HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n{",
        b"POST /peers HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST /peers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        b"GET /" + b"a" * 200_000,
        b"\x00\xff" * 1000,
        b"",
    ]
    for number in range(280):
        client = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        client.setblocking(False)
        try:
            client.send(beginnings[number % len(beginnings)])
        except (BlockingIOError, ConnectionError):
            continue


async def _shout_at_the_swarm(daemon: Daemon, secret: ClusterSecret) -> None:
    begun = RAFT + b"\x00\x81\xa7Entries\x91\x81\xa4Data\xdb\x00\x0f\x00\x00" + bytes(200_000)
    frames = [RAFT + frame for frame in BROKEN_FRAMES.values()]
    frames += [begun, RPC + b"\x81\x90\xc0", RPC + b"\xdd" + b"\xff" * 4, RAFT[:9], b""]
    peer = PeerID.parse(daemon.peer_id)
    address = Multiaddr(daemon.multiaddr.partition("/p2p/")[0])
    async with open_swarm(Identity.generate(), secret, [LOOPBACK]) as swarm:
        await swarm.connect(peer, [address], timeout_s=10)
        with trio.move_on_after(4):
            async with trio.open_nursery() as nursery:
                for number in range(800):
                    nursery.start_soon(open_raw, swarm, peer, frames[number % len(frames)])
                    if number % 20 == 0:
                        await trio.sleep(0.02)


def test_a_daemon_in_little_memory_outlives_who_shouts_at_it(tmp_path: Path) -> None:
    secret = ClusterSecret.generate()
    with made_peers(tmp_path, secrets=(secret.reveal_hex(),)) as [daemon], ExitStack() as held:
        daemon.start()
        daemon.wait_for("leader")
        assert daemon.process is not None
        limit = (_MOST_DATA_BYTES, _MOST_DATA_BYTES)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_DATA, limit)
        before = daemon.status()
        _shout_at_the_api(daemon, held)
        trio.run(_shout_at_the_swarm, daemon, secret)
        with daemon.http() as http:
            answer = http.post(f"/pins/{CID_V0}", params={"timeout": "10s"})
        after = daemon.status()

        assert 200 == answer.status_code, answer.text
        assert (before["role"], before["term"]) == (after["role"], after["term"])
        assert daemon.process.poll() is None
        assert _resident_kib(daemon) <= _MOST_RESIDENT_KIB
