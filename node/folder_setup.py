"""Making a new peer's folder: all of it, or nothing."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from keys.cluster_secret import ClusterSecret
from keys.errors import InvalidIdentity
from keys.identity import Identity
from node.address_book import AddressBook
from node.config.folder import Folder
from node.config.schema import JSONValue
from node.config.service_json import ServiceJSON
from node.config.settings import load_config
from node.errors import ConfigError, FolderError

__all__ = ["CreatedPeer", "NewPeer", "create_folder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPeer:
    """What a new peer shall be; empty means the default."""

    peers: tuple[str, ...] = ()
    """Full multiaddrs of the other first members."""
    join: tuple[str, ...] = ()
    """Full multiaddrs of members of a running cluster, which this peer asks to be added by."""
    is_waiting: bool = False
    """Make no cluster: wait until a member adds this peer. Implied by ``join``."""
    secret_hex: str = field(default="", repr=False)
    peername: str = ""
    listen_multiaddrs: tuple[str, ...] = ()
    api_listen_multiaddrs: tuple[str, ...] = ()
    identity: Identity | None = None
    is_rewritten: bool = False
    """Write service.json and peerstore anew where there are some; identity and secret stay."""


@dataclass(frozen=True, slots=True)
class CreatedPeer:
    """What was made."""

    peer_id: str
    members: list[str]
    """Peer IDs of the first voters, this one's first; none when it is to be added to a cluster."""


def create_folder(folder: Folder, peer: NewPeer) -> CreatedPeer:
    """Make ``folder`` (0700) with identity.json, service.json and peerstore (0600).

    Raises:
        FolderError: there is a peer in it already, or it cannot be made; nothing was changed.
        ConfigError: an address or the secret is malformed; nothing was changed.

    """
    _check_unused(folder, peer)
    if peer.is_rewritten and folder.identity_json.exists():
        identity = _kept_identity(folder)
    else:
        identity = peer.identity or Identity.generate()
    if peer.is_rewritten and not peer.secret_hex and folder.service_json.exists():
        peer = replace(peer, secret_hex=load_config(folder, {}).cluster.secret_hex)
    own = str(identity.peer_id)
    if peer.peers and (peer.join or peer.is_waiting):
        raise ConfigError("init", "--peers", "founds a cluster, and --join or --wait joins one")
    book = AddressBook.of(peer.peers, source="--peers").without(own)
    met = AddressBook.of(peer.join, source="--join").without(own)
    members = [] if peer.join or peer.is_waiting else [own, *book.addresses]
    try:
        folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(prefix=".init-", dir=folder.path) as made:
            new = Folder(Path(made))
            _write(new, peer, identity, book, met)
            # Checked as a daemon would read it, before it is put in place.
            load_config(new, {})
            for file in (new.peerstore, new.service_json, new.identity_json):
                file.replace(folder.path / file.name)
    except OSError as error:
        raise FolderError(f"{folder.path} cannot be made a peer's folder: {error}") from error
    return CreatedPeer(own, members)


def _check_unused(folder: Folder, peer: NewPeer) -> None:
    folder.check_in_one_hand()
    if folder.raft.exists():
        raise FolderError(
            f"{folder.raft} exists: this peer has been part of a cluster. Nothing was changed. "
            "Choose another folder with -c."
        )
    for file in (folder.identity_json, folder.service_json):
        if file.exists() and not peer.is_rewritten:
            raise FolderError(
                f"{file} exists already: {folder.path} belongs to a peer. Nothing was changed. "
                "Choose another folder with -c, or write its configuration anew with --force, "
                "which keeps identity and secret."
            )


def _kept_identity(folder: Folder) -> Identity:
    try:
        return Identity.load(folder.identity_json)
    except InvalidIdentity as error:
        raise FolderError(str(error)) from error


def _write(
    new: Folder, peer: NewPeer, identity: Identity, book: AddressBook, met: AddressBook
) -> None:
    # Every first member must write down the same first configuration: the whole set, sorted.
    members: list[JSONValue] = [*sorted((str(identity.peer_id), *book.addresses))]
    service = ServiceJSON.default(new.service_json)
    secret = peer.secret_hex or ClusterSecret.generate().reveal_hex()
    service.set(("cluster",), "secret", secret)
    service.set(("cluster",), "peername", peer.peername)
    service.set(("consensus", "raft"), "init_peerset", members if book.addresses else [])
    service.set(("consensus", "raft_node"), "bootstrap", not (peer.join or peer.is_waiting))
    service.set(("consensus", "raft_node"), "join_multiaddresses", [*met.lines()])
    if peer.listen_multiaddrs:
        service.set(("cluster",), "listen_multiaddress", list(peer.listen_multiaddrs))
    if peer.api_listen_multiaddrs:
        service.set(
            ("api", "restapi"), "http_listen_multiaddress", list(peer.api_listen_multiaddrs)
        )
    try:
        service.write()
        load_config(new, {})
    except ConfigError as error:
        # The file is a draft that nobody will see: name the setting only.
        raise ConfigError("init", error.key, str(error).partition(f"{error.key}: ")[2]) from error
    identity.save(new.identity_json)
    book.merged(met).write(new.peerstore)
