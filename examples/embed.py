"""A cluster of one in this program: pin a CID and read it back. Run it: python examples/embed.py"""

from __future__ import annotations

import tempfile
from pathlib import Path

import trio
from multiaddr import Multiaddr

from keys.cluster_secret import ClusterSecret
from keys.identity import Identity
from node import Consensus, open_swarm
from pinstate.cid import cid_text, parse_cid
from pinstate.pin import Pin

CID = "QmY7Yh4UquoXHLPFo2XbhXkhBvFoPwmQUSa92pxnxjQuPU"


async def main(folder: Path) -> None:
    """Run a peer in ``folder`` until its one pin is agreed on."""
    identity, secret = Identity.generate(), ClusterSecret.generate()
    async with (
        open_swarm(identity, secret, [Multiaddr("/ip4/127.0.0.1/tcp/0")]) as swarm,
        Consensus.open([], swarm.host, folder / "raft", dial=swarm.dial) as consensus,
    ):
        await consensus.ready(timeout_s=20)
        await consensus.log_pin(Pin(cid=parse_cid(CID)))
        for pin in consensus.state().list():
            print(cid_text(pin.cid), "is pinned, durable on a majority of", len(consensus.peers()))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as parent:
        trio.run(main, Path(parent))
