"""What the server does on demand: the Go peer's ``commands.go``, as far as Python has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio
from multiaddr import Multiaddr

from keys.peer_id import PeerID
from raft_over_libp2p.core.status import CoreStatus
from raft_over_libp2p.raft.request_id import RequestID
from raft_over_libp2p.types import Index, ServerID
from raft_over_libp2p.types import Server as RaftServer
from tests.interop.python_peer.bench import bench
from tests.interop.python_peer.console import Command, CommandFailed
from tests.interop.python_peer.pins import PinCommands
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
                {"id": s.id, "address": s.address, "suffrage": _suffrage(s)}
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
            f"still {core.role.value} with leader {core.leader!r}, {core.applied_index} applied "
            f"and members {_members(core)} after {timeout_ms} ms; {core.peers}; "
            f"{self._raft.status().links}"
        )

    def _holds(self, conditions: dict[str, object]) -> bool:
        core = self._raft.status().core
        applied, term = conditions["applied"], conditions["term"]
        return (
            conditions["state"] in {"", core.role.value}
            and (
                not conditions["leader"]
                or (core.leader is not None and core.leader != conditions["not"])
            )
            and isinstance(applied, int)
            and core.applied_index >= applied
            and isinstance(term, int)
            and core.term >= term
            and conditions["servers"] in (None, _members(core))
        )

    async def apply(self, data: Sequence[str], extensions: str) -> dict[str, object]:
        payloads = [bytes.fromhex(item) for item in data]
        before = self._raft.status().core.last_index
        await self._raft.apply_many(
            payloads, timeout_s=_TIMEOUT_S, extensions=bytes.fromhex(extensions)
        )
        # Tests propose one batch at a time: it stands right behind what was there before.
        return {"indexes": [before + 1 + offset for offset in range(len(payloads))]}

    async def new_request(self) -> dict[str, object]:
        return {"request": str(self._raft.new_request_id())}

    async def apply_once(self, data: str, request: str) -> dict[str, object]:
        """As ``apply`` of one entry, with a request ID; Go has none such."""
        applied = await self._raft.apply_once(
            bytes.fromhex(data), RequestID.parse(request), timeout_s=_TIMEOUT_S
        )
        return {"index": applied.index, "is_new": applied.is_new}

    async def outcome(self, request: str) -> dict[str, object]:
        """Say what became of a request; Go has none such."""
        outcome = await self._raft.outcome(RequestID.parse(request), timeout_s=_TIMEOUT_S)
        return {"state": outcome.state.value, "index": outcome.index}

    async def barrier(self) -> None:
        await self._raft.barrier(timeout_s=_TIMEOUT_S)

    async def verify(self) -> None:
        await self._raft.verify_leader(timeout_s=_TIMEOUT_S)

    async def read(self) -> dict[str, object]:
        return {"index": await self._raft.read_index(timeout_s=_TIMEOUT_S)}

    async def transfer(self, peer: str = "") -> dict[str, object]:
        target = ServerID(peer) if peer else None
        return {"to": await self._raft.leadership_transfer(target, timeout_s=_TIMEOUT_S)}

    async def add_voter(self, peer: str) -> dict[str, object]:
        return {"index": await self._raft.add_voter(ServerID(peer), timeout_s=_TIMEOUT_S)}

    async def add_nonvoter(self, peer: str) -> dict[str, object]:
        return {"index": await self._raft.add_nonvoter(ServerID(peer), timeout_s=_TIMEOUT_S)}

    async def join(self, peer: str) -> dict[str, object]:
        """As ``add_voter``, but with a vote only when it has caught up; Go has none such."""
        return {"index": await self._raft.join(ServerID(peer), timeout_s=_TIMEOUT_S)}

    async def demote(self, peer: str) -> dict[str, object]:
        return {"index": await self._raft.demote_voter(ServerID(peer), timeout_s=_TIMEOUT_S)}

    async def remove(self, peer: str) -> dict[str, object]:
        return {"index": await self._raft.remove_server(ServerID(peer), timeout_s=_TIMEOUT_S)}

    async def snapshot(self) -> dict[str, object]:
        index = await self._raft.snapshot(timeout_s=_TIMEOUT_S)
        return {"index": index}

    async def restore(self, data: str) -> dict[str, object]:
        """Have a recorder's snapshot take the place of the state."""
        chunks = [bytes.fromhex(data)]
        return {"index": await self._raft.restore(chunks, timeout_s=_TIMEOUT_S)}

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
            "restored": recorder.restored,
        }

    async def connect(self, peer: str, address: str) -> None:
        await self._server.swarm.connect(
            PeerID.parse(peer), [Multiaddr(address)], timeout_s=_TIMEOUT_S
        )

    async def block(self, peer: str) -> None:
        await self._server.gate.block(ServerID(peer))

    async def unblock(self, peer: str) -> None:
        self._server.gate.unblock(ServerID(peer))

    async def lose_no_more(self, timeout_ms: int) -> dict[str, object]:
        """Stop losing answers as soon as one was lost."""
        tap = self._server.tap
        if tap is None:
            raise CommandFailed("mode cluster has no tap")
        with trio.move_on_after(timeout_ms / 1000):
            await tap.has_lost.wait()
        if not tap.lost:
            raise CommandFailed(f"no answer to lose came in {timeout_ms} ms")
        tap.is_losing = False
        return {"lost": tap.lost}

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


def _suffrage(server: RaftServer) -> str:
    return server.suffrage.name.capitalize()


def _members(core: CoreStatus) -> dict[str, str]:
    return {server.id: _suffrage(server) for server in core.configuration.servers}


def commands_of(server: Server) -> dict[str, Command]:
    commands = (_Commands(server), PinCommands(server))
    return {
        name: getattr(group, name)
        for group in commands
        for name in vars(type(group))
        if not name.startswith("_")
    }
