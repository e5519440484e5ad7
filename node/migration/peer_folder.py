"""The files of a peer that both programs share: read before it changes hands, copied if it moves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from keys.errors import InvalidIdentity
from keys.identity import Identity
from node import limits
from node.config import Folder, ServiceJSON, load_config
from node.config.schema import JSONValue
from node.errors import FolderError
from raft_over_libp2p.types import ServerID

__all__ = ["PeerFolder", "read_peer_folder", "with_informer"]

_GO_INFORMER: Final[JSONValue] = {"disk": {"metric_ttl": "30s", "metric_type": "freespace"}}
"""Go's default. Without any it ends: "no informers are passed"; this program has no use for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerFolder:
    """A peer's folder as its own files describe it; paths are absolute."""

    base: str
    raft: str
    peer_id: ServerID
    files: Mapping[str, bytes] = field(repr=False)
    """What another folder needs to be the same peer: names and contents."""


def read_peer_folder(folder: Folder, environ: Mapping[str, str]) -> PeerFolder:
    """Read and check identity.json and service.json of ``folder``, changing nothing.

    Raises:
        FolderError: there is no identity, or not one that this program can use.
        ConfigError: a setting that this program could not run with.

    """
    if not folder.identity_json.exists():
        raise FolderError(_why_no_identity(folder))
    config = load_config(folder, environ)
    try:
        identity = Identity.load(folder.identity_json)
        files = {"identity.json": _content(folder.identity_json)}
        peerstore = config.cluster.peerstore
        if peerstore.parent == folder.path and peerstore.exists():
            files[peerstore.name] = _content(peerstore)
    except (InvalidIdentity, OSError) as error:
        raise FolderError(str(error)) from error
    document = ServiceJSON.read(folder.service_json).document
    consensus = document.get("consensus")
    raft = consensus.get("raft") if isinstance(consensus, dict) else None
    if isinstance(raft, dict) and raft.get("data_folder"):
        # It names the old side's folder: the new one keeps its data in its own.
        raft.pop("data_folder")
    files["service.json"] = _text_of(document)
    return PeerFolder(
        base=str(folder.path),
        raft=str(config.data_folder.absolute()),
        peer_id=ServerID(str(identity.peer_id)),
        files=files,
    )


def with_informer(content: bytes) -> bytes:
    """Return the service.json in ``content`` with Cluster's default informer if it has none."""
    document = json.loads(content)
    return content if document.get("informer") else _text_of({**document, "informer": _GO_INFORMER})


def _text_of(document: Mapping[str, JSONValue]) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode()


def _why_no_identity(folder: Folder) -> str:
    if folder.raft.is_file():
        try:
            return f"{folder.path} changed hands before: {_content(folder.raft).decode().strip()}"
        except (OSError, UnicodeDecodeError):
            pass  # the plain words do
    return f"{folder.identity_json} does not exist: {folder.path} is not a peer's folder."


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(limits.MAX_CONFIG_FILE_BYTES + 1)
    if len(data) > limits.MAX_CONFIG_FILE_BYTES:
        raise FolderError(f"{path} is larger than {limits.MAX_CONFIG_FILE_BYTES} bytes")
    return data
