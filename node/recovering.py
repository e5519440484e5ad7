"""A stopped peer's folder made to go on with the members that ``peers.json`` names."""

from __future__ import annotations

import os
from dataclasses import dataclass

from keys.errors import InvalidPeerID
from keys.identity import Identity
from keys.peer_id import PeerID
from node.config import Folder, load_config
from node.errors import FolderError
from pinstate.log_op import OpCodec
from pinstate.state import PinState
from raft_over_libp2p.errors import ProposalRefused
from raft_over_libp2p.oplog import new_fsm
from raft_over_libp2p.raft.recover_cluster import RecoveredCluster, recover_cluster
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.storage.peers_json import read_peers_json
from raft_over_libp2p.types import Configuration, ServerID

__all__ = ["Recovery", "recover"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What a recovery did, or would do."""

    peer_id: ServerID
    data_folder: str
    recovered: RecoveredCluster


def recover(folder: Folder, peers_json: str, *, is_rehearsal: bool) -> Recovery:
    """Make those in the file ``peers_json`` the members of the cluster of the peer in ``folder``.

    As ``recover_cluster`` says; nothing is written if this is a rehearsal, but for what a start
    of the daemon would write.

    Raises:
        FolderError: no peer's folder, no such file, or members that cannot be.
        StorageError: the peer runs, or its data cannot be used.

    """
    if not folder.identity_json.exists():
        raise FolderError(f"{folder.path} holds no identity.json: it is not a peer's folder.")
    config = load_config(folder, os.environ)
    peer_id = ServerID(str(Identity.load(folder.identity_json).peer_id))
    if not config.data_folder.is_dir():
        raise FolderError(f"{config.data_folder} is not there: there is nothing to recover.")
    try:
        configuration = read_peers_json(peers_json)
        _check_peer_ids(configuration)
        with DataFolder.open(config.data_folder, peer_id) as stores:
            recovered = recover_cluster(
                stores,
                new_fsm(PinState(), OpCodec()),
                configuration,
                is_rehearsal=is_rehearsal,
            )
    except ProposalRefused as error:
        raise FolderError(f"{error}. Nothing was changed.") from error
    return Recovery(
        peer_id=peer_id, data_folder=str(config.data_folder.absolute()), recovered=recovered
    )


def _check_peer_ids(configuration: Configuration) -> None:
    """Refuse what no peer of this network is called: nobody could ever answer to it."""
    for server in configuration.servers:
        try:
            PeerID.parse(server.id)
        except InvalidPeerID as error:
            raise ProposalRefused(f"{server.id!r} is not a peer ID: {error}") from error
        if server.address != server.id:
            raise ProposalRefused(
                f"the address of {server.id} must be its ID, not {server.address!r}: in this "
                "cluster peers are found by their IDs, and their addresses stand in peerstore"
            )
