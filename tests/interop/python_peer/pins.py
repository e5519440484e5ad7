"""What mode ``cluster`` adds: the component's commands, as the Go peer's ``pins.go``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from keys.peer_id import PeerID
from node.consensus import Consensus
from pinstate.cid import parse_cid
from pinstate.pin import Pin
from pinstate.pin_protobuf import encode_pin
from pinstate.state import PinState
from tests.interop.python_peer.console import CommandFailed
from tests.interop.python_peer.server import Server

__all__ = ["PinCommands"]


class PinCommands:
    def __init__(self, server: Server) -> None:
        self._component = server.consensus

    @property
    def _consensus(self) -> Consensus:
        if self._component is None:
            raise CommandFailed("mode raft has no pins")
        return self._component

    async def log_pin(self, pin: dict[str, Any]) -> None:
        await self._consensus.log_pin(_pin(pin))

    async def log_unpin(self, pin: dict[str, Any]) -> None:
        await self._consensus.log_unpin(_pin(pin))

    async def rollback(self, pins: list[dict[str, Any]]) -> None:
        await self._consensus.rollback(PinState(map(_pin, pins)))

    async def pinset(self) -> dict[str, object]:
        pins = self._consensus.state().list()
        return {
            "pins": [
                {"cid": pin.cid_text, "stored": encode_pin(pin).hex(), "pin": {"name": pin.name}}
                for pin in pins
            ]
        }

    async def add_peer(self, peer: str) -> None:
        await self._consensus.add_peer(PeerID.parse(peer))

    async def rm_peer(self, peer: str) -> None:
        await self._consensus.rm_peer(PeerID.parse(peer))

    # -- the seed's operations 3 and 4, which Go does not have

    async def log_add_peer(self, address: str) -> None:
        await self._consensus.log_add_peer(address)

    async def log_rm_peer(self, peer: str) -> None:
        await self._consensus.log_rm_peer(PeerID.parse(peer))


def _pin(fields: dict[str, Any]) -> Pin:
    """Return the pin of IPFS Cluster's JSON, of which the tests use these fields."""
    return Pin.of(
        parse_cid(fields["cid"]),
        name=fields.get("name", ""),
        replication_factor_min=fields.get("replication_factor_min", 0),
        replication_factor_max=fields.get("replication_factor_max", 0),
        metadata=fields.get("metadata"),
        timestamp=_unix_ns(fields.get("timestamp")),
        expire_at=_unix_ns(fields.get("expire_at")),
    )


def _unix_ns(text: str | None) -> int | None:
    return None if text is None else int(datetime.fromisoformat(text).timestamp()) * 10**9
