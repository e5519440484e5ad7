"""``peers.json``, the file that says who is left (hashicorp/raft ``peersjson.go``).

Two forms, as ``ReadConfigJSON`` and ``ReadPeersJSON`` take them::

    [{"id": "12D3...", "address": "12D3...", "non_voter": false}, ...]
    ["12D3...", ...]                                  only voters, each ID its address

Where Go ignores what it does not know and takes zero values for what is missing, this is
strict: a misspelt ``non_voter`` would make a voter.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from raft_over_libp2p import limits
from raft_over_libp2p.core.membership_change import check_configuration
from raft_over_libp2p.errors import ProposalRefused
from raft_over_libp2p.types import Configuration, Server, ServerID, Suffrage

__all__ = ["parse_peers_json", "read_peers_json"]

_MAX_BYTES: Final = limits.MIB
"""Far above ``MAX_SERVERS`` members with IDs and addresses of 128 bytes."""
_KEYS: Final = frozenset({"id", "address", "non_voter"})


def read_peers_json(path: str | os.PathLike[str]) -> Configuration:
    """Return the configuration in the file at ``path``.

    Raises:
        ProposalRefused: it is no such file, or its configuration is none that can be used;
            says why, and names the file.

    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ProposalRefused(f"{path} cannot be read: {error.strerror}") from error
    try:
        return parse_peers_json(data)
    except ProposalRefused as error:
        raise ProposalRefused(f"{path}: {error}") from None


def parse_peers_json(data: bytes) -> Configuration:
    """Return the configuration in ``data``; errors as :func:`read_peers_json`."""
    if len(data) > _MAX_BYTES:
        raise ProposalRefused(f"it is over {_MAX_BYTES} bytes")
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProposalRefused(f"it is not JSON: {error}") from None
    if not isinstance(values, list):
        raise ProposalRefused("it is not a JSON list of peers")
    if any(isinstance(value, str) for value in values):
        servers = [_address(value, place) for place, value in enumerate(values, start=1)]
    else:
        servers = [_server(value, place) for place, value in enumerate(values, start=1)]
    configuration = Configuration(tuple(servers))
    check_configuration(configuration)
    return configuration


def _address(value: object, place: int) -> Server:
    if not isinstance(value, str):
        raise ProposalRefused(f"peer {place} is not text, and others are: write all in one form")
    _check_text(value, place)
    return Server(ServerID(value), value)


def _server(value: object, place: int) -> Server:
    if not isinstance(value, dict):
        raise ProposalRefused(f"peer {place} is not an object with id and address")
    if unknown := sorted(value.keys() - _KEYS):
        raise ProposalRefused(f"peer {place} has the unknown key {unknown[0]!r}")
    is_nonvoter = value.get("non_voter", False)
    if not isinstance(is_nonvoter, bool):
        raise ProposalRefused(f"peer {place}: its non_voter is neither true nor false")
    return Server(
        ServerID(_text(value, "id", place)),
        _text(value, "address", place),
        Suffrage.NONVOTER if is_nonvoter else Suffrage.VOTER,
    )


def _text(value: dict[str, object], key: str, place: int) -> str:
    text = value.get(key)
    if not isinstance(text, str) or not text:
        raise ProposalRefused(f"peer {place} has no {key}")
    _check_text(text, place)
    return text


def _check_text(text: str, place: int) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ProposalRefused(f"peer {place}: {text!r} has half a surrogate pair") from None
