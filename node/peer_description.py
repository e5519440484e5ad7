"""What a peer says of itself (IPFS Cluster's ``api.ID``), and its bytes as an RPC reply.

The msgpack form is Go's: a map in the order ``i a cp cpa v c rv e ip pn`` without empty
fields; peer IDs and multiaddrs are their bytes. ``Cluster.ID`` answers with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgpack
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from keys.peer_id import PeerID
from raft_over_libp2p.errors import MalformedMessage

__all__ = [
    "IPFSDescription",
    "PeerDescription",
    "decode_description",
    "encode_description",
    "encode_version",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class IPFSDescription:
    """The IPFS daemon a peer pins on."""

    id: str = ""
    addresses: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerDescription:
    """One peer; IDs and addresses in their text forms."""

    id: str
    addresses: tuple[str, ...] = ()
    cluster_peers: tuple[str, ...] = ()
    cluster_peers_addresses: tuple[str, ...] = ()
    version: str = ""
    commit: str = ""
    rpc_protocol_version: str = ""
    error: str = ""
    """Why the rest is missing, when the peer was not reached."""
    ipfs: IPFSDescription = field(default_factory=IPFSDescription)
    peername: str = ""


def encode_description(peer: PeerDescription) -> bytes:
    """Return the reply of ``Cluster.ID``."""
    ipfs = _without_empty(
        {
            "i": PeerID.parse(peer.ipfs.id).multihash if peer.ipfs.id else b"",
            "a": _multiaddr_bytes(peer.ipfs.addresses),
            "e": peer.ipfs.error,
        }
    )
    fields = {
        "i": PeerID.parse(peer.id).multihash,
        "a": _multiaddr_bytes(peer.addresses),
        "cp": [PeerID.parse(member).multihash for member in peer.cluster_peers],
        "cpa": _multiaddr_bytes(peer.cluster_peers_addresses),
        "v": peer.version,
        "c": peer.commit,
        "rv": peer.rpc_protocol_version,
        "e": peer.error,
        "ip": ipfs,
        "pn": peer.peername,
    }
    return msgpack.packb(_without_empty(fields), use_bin_type=False)  # type: ignore[no-any-return]


def encode_version(version: str) -> bytes:
    """Return the reply of ``Cluster.Version``."""
    return msgpack.packb({"v": version}, use_bin_type=False)  # type: ignore[no-any-return]


def decode_description(data: bytes) -> PeerDescription:
    """Return the description in a reply of ``Cluster.ID``; unknown fields are ignored.

    Raises:
        MalformedMessage: it is none.

    """
    try:
        fields = _fields(msgpack.unpackb(data, raw=True, strict_map_key=False))
        ipfs = _fields(fields.get("ip") or {})
        return PeerDescription(
            id=_peer_text(fields.get("i")),
            addresses=_multiaddr_texts(fields.get("a")),
            cluster_peers=tuple(map(_peer_text, _list(fields.get("cp")))),
            cluster_peers_addresses=_multiaddr_texts(fields.get("cpa")),
            version=_text(fields.get("v")),
            commit=_text(fields.get("c")),
            rpc_protocol_version=_text(fields.get("rv")),
            error=_text(fields.get("e")),
            ipfs=IPFSDescription(
                id=_peer_text(ipfs["i"]) if ipfs.get("i") else "",
                addresses=_multiaddr_texts(ipfs.get("a")),
                error=_text(ipfs.get("e")),
            ),
            peername=_text(fields.get("pn")),
        )
    except (ValueError, TypeError, msgpack.StackError, msgpack.ExtraData) as error:
        raise MalformedMessage(f"not a peer's description: {error}") from error


def _without_empty(fields: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in fields.items() if value}


def _multiaddr_bytes(addresses: Sequence[str]) -> list[bytes]:
    return [Multiaddr(address).to_bytes() for address in addresses]


def _fields(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError("a map is expected")  # noqa: TRY004 - a bad value, not a bad call
    return {key.decode("utf-8", "replace"): v for key, v in value.items() if isinstance(key, bytes)}


def _list(value: object) -> list[object]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError("a list is expected")  # noqa: TRY004
    return value


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, bytes):
        raise ValueError("text is expected")  # noqa: TRY004
    return value.decode("utf-8", "replace")


def _peer_text(value: object) -> str:
    if not isinstance(value, bytes):
        raise ValueError("a peer ID is expected")  # noqa: TRY004
    return str(PeerID.from_bytes(value))


def _multiaddr_texts(value: object) -> tuple[str, ...]:
    texts = []
    for item in _list(value):
        try:
            texts.append(str(Multiaddr(item)))
        except (MultiaddrError, TypeError) as error:
            raise ValueError(f"a multiaddr is expected: {error}") from error
    return tuple(texts)
