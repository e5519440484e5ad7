"""What the server does on demand: the Go peer's ``commands.go``, as far as Python has it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import trio
from multiaddr import Multiaddr

from keys.peer_id import PeerID
from pinstate.cid import parse_cid
from pinstate.pin import Pin
from pinstate.pin_protobuf import encode_pin
from raft_over_libp2p.types import Index
from tests.interop.python_peer.bench import bench
from tests.interop.python_peer.console import Command, CommandFailed
from tests.interop.python_peer.server import Server

__all__ = ["commands_of"]

_TIMEOUT_S: Final = 15.0
_MAX_DUMP_BYTES: Final = 16 << 20


class _Commands:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._raft = server.raft

    async def status(self) -> dict[str, object]:
        core = self._raft.status().core
        connected = [str(peer) for peer in self._server.swarm.host.get_connected_peers()]
        return {
            "state": core.role.value,
            "term": core.term,
            "leader": core.leader or "",
            "last_index": core.last_index,
            "commit_index": core.commit_index,
            "applied_index": core.applied_index,
            "configuration": [
                {"id": s.id, "address": s.address, "suffrage": s.suffrage.name.capitalize()}
                for s in core.configuration.servers
            ],
            "connected": connected,
        }

    async def wait(self, timeout_ms: int, **conditions: object) -> dict[str, object]:
        with trio.move_on_after(timeout_ms / 1000):
            while not self._holds(conditions):
                await self._raft.changed()
            return await self.status()
        core = self._raft.status().core
        raise CommandFailed(
            f"still {core.role.value} with leader {core.leader!r} and {core.applied_index} "
            f"applied after {timeout_ms} ms; {self._raft.status().links}"
        )

    def _holds(self, conditions: dict[str, object]) -> bool:
        core = self._raft.status().core
        applied = conditions["applied"]
        return (
            conditions["state"] in {"", core.role.value}
            and (
                not conditions["leader"]
                or (core.leader is not None and core.leader != conditions["not"])
            )
            and isinstance(applied, int)
            and core.applied_index >= applied
        )

    async def apply(self, data: Sequence[str]) -> dict[str, object]:
        payloads = [bytes.fromhex(item) for item in data]
        before = self._raft.status().core.last_index
        await self._raft.apply_many(payloads, timeout_s=_TIMEOUT_S)
        # Tests propose one batch at a time: it stands right behind what was there before.
        return {"indexes": [before + 1 + offset for offset in range(len(payloads))]}

    async def barrier(self) -> None:
        await self._raft.barrier(timeout_s=_TIMEOUT_S)

    async def verify(self) -> None:
        await self._raft.read_index(timeout_s=_TIMEOUT_S)

    async def dump(self, first: int, last: int) -> dict[str, object]:
        log = self._server.log
        low = Index(max(first, log.first_index()))
        high = Index(min(last or log.last_index(), log.last_index()))
        found = log.entries(low, high, _MAX_DUMP_BYTES) if low <= high else ()
        return {
            "entries": [
                {
                    "index": entry.index,
                    "term": entry.term,
                    "type": entry.type.value,
                    "data": entry.data.hex(),
                    "extensions": entry.extensions.hex(),
                    "appended_at": entry.appended_at.hex(),
                }
                for entry in found
            ]
        }

    async def state(self) -> dict[str, object]:
        recorder = self._server.recorder
        if recorder is None:
            raise CommandFailed("mode cluster has a pinset instead")
        return {
            "count": recorder.count,
            "applied": [
                {"index": entry.index, "term": entry.term, "data": entry.data.hex()}
                for entry in recorder.entries
            ],
        }

    async def connect(self, peer: str, address: str) -> None:
        await self._server.swarm.connect(
            PeerID.parse(peer), [Multiaddr(address)], timeout_s=_TIMEOUT_S
        )

    async def bench(
        self,
        warm_up_s: float,
        seconds: float,
        bytes: int,  # noqa: A002 - the field's name in the command
        in_flight: int,
    ) -> dict[str, float]:
        return await bench(
            self._raft,
            warm_up_s=warm_up_s,
            seconds=seconds,
            payload_bytes=bytes,
            in_flight=in_flight,
        )

    async def log_pin(self, pin: dict[str, Any]) -> None:
        if self._server.consensus is None:
            raise CommandFailed("mode raft has no pins")
        await self._server.consensus.log_pin(_pin(pin))

    async def log_unpin(self, pin: dict[str, Any]) -> None:
        if self._server.consensus is None:
            raise CommandFailed("mode raft has no pins")
        await self._server.consensus.log_unpin(_pin(pin))

    async def pinset(self) -> dict[str, object]:
        if self._server.consensus is None:
            raise CommandFailed("mode raft has no pins")
        pins = self._server.consensus.state().list()
        return {
            "pins": [
                {"cid": pin.cid_text, "stored": encode_pin(pin).hex(), "pin": {"name": pin.name}}
                for pin in pins
            ]
        }


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


def commands_of(server: Server) -> dict[str, Command]:
    commands = _Commands(server)
    names = [name for name in vars(_Commands) if not name.startswith("_")]
    return {name: getattr(commands, name) for name in names}
