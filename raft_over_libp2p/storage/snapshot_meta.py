"""A snapshot's ``meta.json``, byte for byte as Go writes it (hashicorp/raft ``file_snapshot.go``).

One line of JSON and a newline, keys in this order::

    {"Version":1,"ID":"2-7-1795391913818","Index":7,"Term":2,"Peers":<base64>,
     "Configuration":{"Servers":[{"Suffrage":0,"ID":...,"Address":...}]},
     "ConfigurationIndex":4,"Size":213,"CRC":<base64 of 8 bytes, big-endian>}

``Peers`` is the list of voters of older protocol versions. Version 0 has nothing else.

Go gives this file no checksum. Ours ends in one more key, ``"MetaCRC":"<8 hexadecimal digits>"``:
the CRC-32 of all bytes before it. Go's decoder ignores keys it does not know; where it is present
here, it is checked.
"""

from __future__ import annotations

import json
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Mapping
from typing import Final
from zlib import crc32

from raft_over_libp2p import limits
from raft_over_libp2p.core.interfaces import SnapshotMeta
from raft_over_libp2p.errors import MalformedMessage, RemoteProtocolError, UnsupportedVersion
from raft_over_libp2p.storage.interface import SnapshotInfo
from raft_over_libp2p.types import Configuration, Index, Server, ServerID, Suffrage, Term
from raft_over_libp2p.wire.configuration import decode_peers, encode_peers

__all__ = ["MAX_META_BYTES", "SNAPSHOT_VERSION", "encode_meta", "parse_meta", "with_checksum"]

SNAPSHOT_VERSION: Final = 1
MAX_META_BYTES: Final = 4 * limits.MIB
"""Ten times what a configuration of ``MAX_SERVERS`` peers takes."""
_MAX_UINT64: Final = (1 << 64) - 1
_BASE64_DIGITS: Final = 4
"""They come in fours, the last of them padded."""
_CHECKSUM_KEY: Final = "MetaCRC"
_BEFORE_CHECKSUM: Final = f',"{_CHECKSUM_KEY}":"'.encode()
# Go writes JSON that may stand in HTML.
_GO_ESCAPES: Final = str.maketrans(
    {character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
)


def encode_meta(info: SnapshotInfo) -> bytes:
    """Return the content of ``meta.json`` as Go writes it."""
    meta = info.meta
    servers = [
        {"Suffrage": int(s.suffrage), "ID": s.id, "Address": s.address}
        for s in meta.configuration.servers
    ]
    values = {
        "Version": SNAPSHOT_VERSION,
        "ID": info.snapshot_id,
        "Index": meta.index,
        "Term": meta.term,
        "Peers": b64encode(encode_peers(meta.configuration)).decode(),
        "Configuration": {"Servers": servers or None},
        "ConfigurationIndex": meta.configuration_index,
        "Size": info.size_bytes,
        "CRC": b64encode(info.checksum).decode(),
    }
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return (text.translate(_GO_ESCAPES) + "\n").encode()


def with_checksum(data: bytes) -> bytes:
    """Return the file that :func:`encode_meta` made with the checksum that only we look at."""
    head = data.removesuffix(b"}\n")
    return head + _BEFORE_CHECKSUM + b"%08x" % crc32(head) + b'"}\n'


def parse_meta(data: bytes) -> SnapshotInfo:
    """Read a ``meta.json``; unknown keys, and bytes behind the value, are ignored as Go ignores them.

    Raises:
        UnsupportedVersion: a newer version than 1.
        MalformedMessage: a key is missing or has no value of its kind, or the file is not as
            it was written.

    """
    try:
        values, _ = json.JSONDecoder().raw_decode(data.decode().lstrip())
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"it is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise MalformedMessage("it is not a JSON object")
    if _CHECKSUM_KEY in values and with_checksum(data.rpartition(_BEFORE_CHECKSUM)[0]) != data:
        raise MalformedMessage("it does not match its checksum")
    version = _uint(values, "Version")
    if version > SNAPSHOT_VERSION:
        raise UnsupportedVersion(
            f"it has version {version}; this program knows up to {SNAPSHOT_VERSION}"
        )
    index = Index(_uint(values, "Index"))
    peers = _base64(values, "Peers")  # Go reads it whatever the version.
    try:
        if version == 0:
            configuration, configuration_index = decode_peers(peers), index
        else:
            configuration = _configuration(values)
            configuration_index = Index(_uint(values, "ConfigurationIndex"))
    except RemoteProtocolError as error:
        raise MalformedMessage(str(error)) from None
    return SnapshotInfo(
        snapshot_id=_text(values, "ID"),
        meta=SnapshotMeta(
            index=index,
            term=Term(_uint(values, "Term")),
            configuration=configuration,
            configuration_index=configuration_index,
        ),
        size_bytes=_uint(values, "Size"),
        checksum=_base64(values, "CRC"),
    )


def _configuration(values: Mapping[str, object]) -> Configuration:
    found = values.get("Configuration")
    servers = found.get("Servers") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(servers, list | None):
        raise MalformedMessage("its Configuration is not one")
    if servers and len(servers) > limits.MAX_SERVERS:
        raise MalformedMessage(f"it has {len(servers)} servers, more than {limits.MAX_SERVERS}")
    return Configuration(tuple([_server(server) for server in servers or ()]))


def _server(values: object) -> Server:
    if not isinstance(values, dict):
        raise MalformedMessage("a server is not a JSON object")
    try:
        suffrage = Suffrage(_uint(values, "Suffrage"))
    except ValueError as error:
        raise MalformedMessage(str(error)) from None
    return Server(ServerID(_text(values, "ID")), _text(values, "Address"), suffrage)


def _uint(values: Mapping[str, object], key: str) -> int:
    value = values.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_UINT64:
        raise MalformedMessage(f"its {key} is not an unsigned number of 64 bits")
    return value


def _text(values: Mapping[str, object], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str):
        raise MalformedMessage(f"its {key} is not text")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        # JSON can hold half a surrogate pair, and UTF-8 cannot: it could not be written again.
        raise MalformedMessage(f"its {key} is not text: it has half a surrogate pair")
    return value


def _base64(values: Mapping[str, object], key: str) -> bytes:
    """Return the bytes under ``key``; Go writes null for none."""
    value = values.get(key)
    if value is None:
        return b""
    text = _text(values, key)
    try:
        found = a2b_base64(text, strict_mode=True)
    except ValueError:
        raise MalformedMessage(f"its {key} is not base64") from None
    if len(text) % _BASE64_DIGITS:  # Strict as it is, it takes "=" without end.
        raise MalformedMessage(f"its {key} is not base64")
    return found
