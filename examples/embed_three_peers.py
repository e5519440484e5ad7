"""Three peers in one program: embed Consensus, pin on one, read on another.

Run it with:  python examples/embed_three_peers.py
"""

import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import trio
from multiaddr import Multiaddr

from keys import ClusterSecret, Identity
from node import Consensus, RpcClient, open_swarm
from node.rpc.server import RpcServer
from node.rpc.services import consensus_methods
from node.rpc.wire import PROTOCOL_ID
from node.swarm.stream_host import SwarmStreams
from pinstate.cid import raw_sha256_cid
from pinstate.pin import Pin

PEERS = 3
LOOPBACK = Multiaddr("/ip4/127.0.0.1/tcp/0")


async def main(folder: Path) -> None:
    """Agree on one pin among three peers."""
    secret = ClusterSecret.generate()
    identities = [Identity.generate() for _ in range(PEERS)]
    members = [identity.peer_id for identity in identities]
    async with AsyncExitStack() as stack:
        swarms = [
            await stack.enter_async_context(open_swarm(identity, secret, [LOOPBACK]))
            for identity in identities
        ]
        for swarm in swarms:
            for other in swarms:
                if other is not swarm:
                    swarm.remember(other.peer_id, other.listen_addrs)
        peers = []
        for number, swarm in enumerate(swarms):
            home = folder / str(number)
            home.mkdir()
            consensus = await stack.enter_async_context(
                Consensus.open(members, swarm.host, home / "raft", dial=swarm.dial)
            )
            streams = SwarmStreams(swarm.host, swarm.dial)
            consensus.set_client(RpcClient(streams))
            streams.serve(PROTOCOL_ID, RpcServer(consensus_methods(consensus)).handle)
            peers.append(consensus)
        for consensus in peers:
            await consensus.ready(timeout_s=30)
        leader = peers[0].leader()
        print(f"{leader} leads")

        follower = next(peer for peer in peers if peer.peer_id != leader)
        await follower.log_pin(Pin.of(raw_sha256_cid(b"hello"), name="hello"))
        with trio.fail_after(10):
            while any(peer.status().core.applied_index < 3 for peer in peers):  # noqa: ASYNC110, PLR2004
                await trio.sleep(0.01)
        for consensus in peers:
            [pin] = consensus.state().list()
            print(f"{consensus.peer_id} holds {pin.cid_text} ({pin.name})")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        trio.run(main, Path(name))
