"""One peer as a process: identity, secret, swarm, consensus, RPC and HTTP API joined.

Started from outside in and stopped from inside out: a request is never served by a part that
has stopped already.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Final

import trio
from multiaddr import Multiaddr

from keys.cluster_secret import ClusterSecret
from keys.errors import InvalidIdentity, InvalidPeerID
from keys.identity import Identity
from keys.peer_id import PeerID
from node import limits
from node.address_announcing import AddressAnnouncer
from node.address_book import AddressBook
from node.config import Folder, NodeConfig, load_config
from node.consensus import Consensus
from node.directory import Directory
from node.errors import AddressInUse, ConfigError, ExitCode, FolderError, NodeError
from node.http.app import build_app
from node.http.pin_options import ReplicationFactors
from node.http.server import APIServer
from node.joining import Joiner
from node.leadership import LeadershipTransfer
from node.own_addresses import own_addresses
from node.peer_description import encode_version
from node.rpc.client import RpcClient
from node.rpc.server import RpcServer
from node.rpc.services import cluster_methods, consensus_methods
from node.rpc.wire import PROTOCOL_ID
from node.standing import Standing
from node.swarm.host import ListenFailed, PeerSwarm, open_swarm
from node.swarm.stream_host import SwarmStreams
from node.swarm_addresses import SwarmAddresses
from node.telling import Say, tell_leaders, tell_who_is_here
from pinstate.state import PinState
from raft_over_libp2p.errors import (
    CorruptLog,
    CorruptSnapshot,
    DiskFull,
    DurabilityLost,
    StorageError,
)
from raft_over_libp2p.raft.single_error import single_error
from raft_over_libp2p.storage.filesystem import RealFileSystem

__all__ = ["DaemonFailed", "run_daemon"]

logger = logging.getLogger(__name__)

_VERSION: Final = version("raft-over-libp2p")


class DaemonFailed(NodeError):
    """The daemon cannot start or go on."""

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        self.exit_code = exit_code
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class _Peer:
    """What a folder says about its peer; ``book`` names this peer where the log last did."""

    config: NodeConfig
    identity: Identity
    secret: ClusterSecret | None
    book: AddressBook
    first_voters: tuple[PeerID, ...]


def run_daemon(
    folder: Folder,
    say: Say,
    *,
    environ: Mapping[str, str] = os.environ,
    listen_multiaddrs: tuple[str, ...] = (),
    api_listen_multiaddrs: tuple[str, ...] = (),
) -> None:
    """Run the peer of ``folder`` until SIGTERM or SIGINT; returns after an orderly end.

    Must be called from the main thread. A second signal, or ``SHUTDOWN_S`` after the first,
    ends the process at once.

    Raises:
        NodeError: it cannot start (exit code 1 when the disk is full, which a daemon that runs
            waits out), or the disk failed (74).

    """
    peer = _read_folder(
        folder,
        environ,
        listen_multiaddrs=listen_multiaddrs,
        api_listen_multiaddrs=api_listen_multiaddrs,
    )
    api = APIServer.bind(peer.config.api)
    try:
        with single_error():
            trio.run(_run, peer, api, say, strict_exception_groups=True)
    except ListenFailed as error:
        raise AddressInUse(
            f"{error}. Stop the program that uses it, or choose another address with --listen "
            "or cluster.listen_multiaddress in service.json."
        ) from error
    except DurabilityLost as error:
        raise DaemonFailed(f"the disk failed: {error}", ExitCode.DURABILITY_LOST) from error
    except DiskFull as error:
        # Unlike a failed write it heals by itself: whoever supervises may start it again.
        raise DaemonFailed(str(error), ExitCode.NOT_DONE) from error
    except (CorruptLog, CorruptSnapshot) as error:
        raise DaemonFailed(str(error), ExitCode.NOT_DONE) from error
    except StorageError as error:
        raise DaemonFailed(str(error), ExitCode.USAGE) from error
    finally:
        api.close()


def _read_folder(
    folder: Folder,
    environ: Mapping[str, str],
    *,
    listen_multiaddrs: tuple[str, ...],
    api_listen_multiaddrs: tuple[str, ...],
) -> _Peer:
    folder.check_initialised()
    config = load_config(
        folder,
        environ,
        listen_multiaddrs=listen_multiaddrs,
        api_listen_multiaddrs=api_listen_multiaddrs,
    )
    try:
        identity = Identity.load(folder.identity_json)
        first_voters = tuple(PeerID.parse(text) for text in config.init_peerset)
    except (InvalidIdentity, OSError) as error:
        raise FolderError(str(error)) from error
    except InvalidPeerID as error:
        raise ConfigError(folder.service_json, "consensus.raft.init_peerset", str(error)) from error
    folder.check_not_go(config.data_folder)
    _check_not_running(folder)
    own = str(identity.peer_id)
    book = AddressBook.of(config.cluster.peer_addresses, source=folder.service_json).without(own)
    agreed = AddressBook.read(config.cluster.peerstore)
    if config.is_bootstrapped and own in agreed.addresses:
        _check_not_forgotten(config, own)
    return _Peer(
        config=config,
        identity=identity,
        secret=ClusterSecret.from_hex(config.cluster.secret_hex)
        if config.cluster.secret_hex
        else None,
        book=book.merged(agreed),
        first_voters=first_voters,
    )


def _check_not_forgotten(config: NodeConfig, own: str) -> None:
    """Refuse a founder whose Raft data is gone: it would found a second cluster and vote twice."""
    data = config.data_folder
    if data.is_dir() and any(data.iterdir()):
        return
    raise FolderError(
        f"{data} is empty, but {config.cluster.peerstore} says that this peer ({own}) has been "
        "part of a cluster: started like this it would found another one. To have it back in its "
        "cluster, remove it there with `raft-node peers rm`, run `raft-node init --force --wait` "
        "here, start it, and add it. If a new cluster is meant, delete the line with its ID first."
    )


def _check_not_running(folder: Folder) -> None:
    """Say that the folder is in use, before its busy ports would be blamed.

    The data folder takes the same lock for good, so nothing hangs on this look.
    """
    try:
        RealFileSystem().lock(str(folder.path / "cluster.lock"), across_programs=True).close()
    except StorageError as error:
        raise FolderError(str(error)) from error


async def _run(peer: _Peer, api: APIServer, say: Say) -> None:
    config = peer.config
    announce = [Multiaddr(address) for address in config.cluster.announce_multiaddrs] or None
    async with (
        _signals() as stopped,
        open_swarm(peer.identity, peer.secret, announce_multiaddrs=announce) as swarm,
    ):
        addresses = SwarmAddresses(swarm, peer.book, config.cluster.peerstore)
        async with Consensus.open(
            peer.first_voters if config.is_bootstrapped else None,
            swarm.host,
            config.data_folder,
            PinState(),
            config=config.consensus_config(),
            dial=swarm.dial,
            addresses=addresses,
        ) as consensus:
            await _serve(peer, swarm, addresses, consensus, api, say, stopped)


async def _serve(
    peer: _Peer,
    swarm: PeerSwarm,
    addresses: SwarmAddresses,
    consensus: Consensus,
    api: APIServer,
    say: Say,
    stopped: trio.Event,
) -> None:
    config = peer.config
    streams = SwarmStreams(swarm.host, swarm.dial)
    client = RpcClient(streams)
    consensus.set_client(client)
    leadership = LeadershipTransfer(consensus, client)
    announcer = AddressAnnouncer(consensus, addresses, client)
    standing = Standing()
    directory = Directory(
        own=peer.identity.peer_id,
        peername=config.cluster.peername,
        version=_VERSION,
        addresses=addresses.own_lines,
        members=consensus.peers,
        known=addresses.lines,
        client=client,
    )
    methods = cluster_methods(directory.encoded_self, encode_version(_VERSION))
    methods |= consensus_methods(consensus) | leadership.methods() | announcer.methods()
    streams.serve(PROTOCOL_ID, RpcServer(methods).handle)
    # Every protocol is served now: who connects from here on is told of all of them at once.
    await swarm.listen([Multiaddr(address) for address in config.cluster.listen_multiaddrs])
    addresses.own = own_addresses(config.cluster.announce_multiaddrs, map(str, swarm.listen_addrs))
    app = build_app(
        consensus,
        directory,
        leadership,
        config=config.api,
        version=_VERSION,
        replication=ReplicationFactors(
            config.cluster.replication_factor_min, config.cluster.replication_factor_max
        ),
        is_removed=lambda: standing.is_removed,
    )
    # What was loaded lives as long as the process: keep it out of later collections.
    gc.collect()
    gc.freeze()
    urls = api.urls
    async with trio.open_nursery() as watching:
        async with trio.open_nursery() as serving:
            api_stop = trio.Event()
            await serving.start(partial(api.run, app, stop=api_stop))
            tell_who_is_here(
                consensus,
                addresses,
                say,
                peername=config.cluster.peername,
                folder=str(config.folder.path),
                listening=[str(address) for address in swarm.listen_addrs],
                urls=urls,
                is_private=peer.secret is not None,
            )
            watching.start_soon(tell_leaders, consensus, standing, addresses, say)
            watching.start_soon(standing.follow, consensus.raft, partial(say, "removed"))
            watching.start_soon(
                partial(
                    announcer.keep_agreed,
                    is_explicit=bool(config.cluster.announce_multiaddrs),
                    told=partial(say, "address"),
                )
            )
            if config.join_multiaddrs and not consensus.peers():
                watching.start_soon(_join, peer, swarm, addresses, consensus, client, say)
            await stopped.wait()
            say("stopping", "finishing what is under way")
            api_stop.set()
        watching.cancel_scope.cancel()


async def _join(
    peer: _Peer,
    swarm: PeerSwarm,
    addresses: SwarmAddresses,
    consensus: Consensus,
    client: RpcClient,
    say: Say,
) -> None:
    joiner = Joiner(
        swarm,
        client,
        peer.config.join_multiaddrs,
        addresses.own,
        consensus.status,
        partial(say, "joining"),
    )
    await joiner.join()


@asynccontextmanager
async def _signals() -> AsyncIterator[trio.Event]:
    """Yield an event that SIGTERM or SIGINT sets."""
    stopped = trio.Event()

    async def receive(*, task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            task_status.started()
            async for _ in signals:
                if stopped.is_set():
                    os._exit(ExitCode.NOT_DONE)
                _end_anyway_after(limits.SHUTDOWN_S)
                stopped.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(receive)
        yield stopped
        nursery.cancel_scope.cancel()


def _end_anyway_after(seconds: float) -> None:
    """End the process when its orderly end takes too long; the log on disk is safe at any time."""
    timer = threading.Timer(seconds, os._exit, (int(ExitCode.NOT_DONE),))
    timer.daemon = True
    timer.start()
