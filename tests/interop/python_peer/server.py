"""One server, in either mode, with all that commands look at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import trio
from libp2p.peer.id import ID

from keys.peer_id import PeerID
from node.address_book import AddressBook
from node.consensus import Consensus
from node.consensus_config import ConsensusConfig
from node.rpc.client import RpcClient
from node.rpc.server import RpcServer
from node.rpc.services import consensus_methods
from node.rpc.wire import PROTOCOL_ID
from node.swarm.dialing import DialFailed
from node.swarm.host import PeerSwarm, open_swarm
from node.swarm.stream_host import SwarmStreams
from node.swarm_addresses import SwarmAddresses
from raft_over_libp2p.errors import invariant
from raft_over_libp2p.raft import Raft
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.storage.log_store import SegmentedLog
from raft_over_libp2p.transport.libp2p_transport import Libp2pTransport
from raft_over_libp2p.transport.timing import TransportTiming
from raft_over_libp2p.types import ServerID
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from tests.interop.python_peer.gate import Gate
from tests.interop.python_peer.options import Options
from tests.interop.python_peer.recorder import Recorder
from tests.interop.python_peer.tap import Tap
from tests.model.trace_file import trace_to

__all__ = ["Server", "open_server"]


@dataclass(frozen=True, slots=True)
class Server:
    swarm: PeerSwarm
    gate: Gate
    raft: Raft[bytes, Any]
    tap: Tap | None
    """Between server and transport, in mode ``raft``."""
    recorder: Recorder | None
    """What was applied, in mode ``raft``."""
    consensus: Consensus | None
    """The component, in mode ``cluster``."""

    @property
    def log(self) -> SegmentedLog:
        """The log on disk, which the tests read and the product does not show."""
        return self.raft._driver.folder.log

    def addresses(self) -> list[str]:
        return [f"{address}/p2p/{self.swarm.peer_id}" for address in self.swarm.listen_addrs]


@asynccontextmanager
async def open_server(options: Options) -> AsyncIterator[Server]:
    options.data_folder.parent.mkdir(parents=True, exist_ok=True)
    async with open_swarm(options.identity, options.secret, [options.listen]) as swarm:
        for peer, address in options.peers.items():
            if address is not None:
                swarm.book.add(ID.from_base58(peer), [address])
        start = _open_component if options.mode == "cluster" else _open_raft
        gate = Gate(swarm, options.never_dial)
        async with start(options, swarm, gate) as server, trio.open_nursery() as nursery:
            for peer, address in options.peers.items():
                if address is not None and peer not in {str(swarm.peer_id), *gate.never_dial}:
                    nursery.start_soon(_greet, swarm, peer)
            yield server
            nursery.cancel_scope.cancel()


async def _greet(swarm: PeerSwarm, peer: ServerID) -> None:
    """Dial ``peer``: a Go peer that failed to dial us would not try again for 5 s and more."""
    with suppress(DialFailed):
        await swarm.connect(peer)


@asynccontextmanager
async def _open_raft(options: Options, swarm: PeerSwarm, gate: Gate) -> AsyncIterator[Server]:
    timing = TransportTiming.of(options.raft, network_timeout_s=options.network_timeout_s)
    transport = Libp2pTransport(swarm.host, timing, dial=gate.dial)
    tap = Tap(transport, is_losing=options.lose_snapshot_answers)
    recorder = Recorder(keep=options.record)
    tracing = nullcontext() if options.trace is None else trace_to(options.trace)
    with tracing as tracer, DataFolder.open(options.data_folder, transport.server_id) as folder:
        if options.bootstrap and folder.is_fresh:
            folder.bootstrap(options.first_configuration, GoConfigurationCodec())
        async with Raft.open_fsm(
            folder=folder, transport=tap, fsm=recorder, config=options.raft, tracer=tracer
        ) as raft:
            yield Server(swarm, gate, raft, tap, recorder, None)


@asynccontextmanager
async def _open_component(options: Options, swarm: PeerSwarm, gate: Gate) -> AsyncIterator[Server]:
    config = ConsensusConfig(
        raft=options.raft,
        leader_timeout_s=options.leader_timeout_s,
        network_timeout_s=options.network_timeout_s,
        commit_retries=options.commit_retries,
    )
    async with Consensus.open(
        [PeerID.parse(peer) for peer in options.peers] if options.bootstrap else None,
        swarm.host,
        options.data_folder,
        config=config,
        dial=gate.dial,
        addresses=_addresses(options, swarm),
    ) as consensus:
        streams = SwarmStreams(swarm.host, gate.dial)
        streams.serve(PROTOCOL_ID, RpcServer(consensus_methods(consensus)).handle)
        consensus.set_client(RpcClient(streams))
        oplog = consensus._oplog
        invariant(oplog is not None, "an open component has a log")
        if oplog is not None:
            yield Server(swarm, gate, oplog.raft, None, None, consensus)


def _addresses(options: Options, swarm: PeerSwarm) -> SwarmAddresses:
    full = [f"{at}/p2p/{peer}" for peer, at in options.peers.items() if at is not None]
    peerstore = options.data_folder.parent / "peerstore"
    addresses = SwarmAddresses(swarm, AddressBook.of(full, source="--peers"), peerstore)
    addresses.own = tuple(str(address) for address in swarm.listen_addrs)
    return addresses
