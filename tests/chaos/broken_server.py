"""A server of pins in memory that may lie in one chosen way: what the judges must be able to see."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qs, urlsplit

import trio

from tests.chaos.api_client import Connection

__all__ = ["BrokenServer", "Lie", "serve_broken"]

Lie: TypeAlias = Literal["none", "stale read", "forgotten write", "refusal of what was done"]

_LIE_ODDS: Final = 0.02
_MAX_HEAD_BYTES: Final = 8192


class BrokenServer:
    """Speaks as much of a peer's API as :class:`~tests.chaos.workload.Workload` asks of it."""

    def __init__(self, lie: Lie, port: int, seed: int) -> None:
        self.number = 1
        self.pins: dict[str, str] = {}
        self.lies = 0
        self._lie = lie
        self._port = port
        self._dice = random.Random(seed)
        self._before: dict[str, str] = {}
        """What each CID held before its last write."""

    def connection(self) -> Connection:
        return Connection(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM), self._port)

    async def serve(self, stream: trio.SocketStream) -> None:
        data = b""
        async with stream:
            while chunk := await stream.receive_some(_MAX_HEAD_BYTES):
                data += chunk
                while b"\r\n\r\n" in data:
                    head, _, data = data.partition(b"\r\n\r\n")
                    await stream.send_all(self._answer(head.decode()))

    def _answer(self, head: str) -> bytes:
        method, target, _ = head.split("\r\n", maxsplit=1)[0].split(" ")
        url = urlsplit(target)
        cid = url.path.rpartition("/")[2]
        if method == "GET":
            return self._read(cid)
        name = parse_qs(url.query)["name"][0] if method == "POST" else ""
        if method == "DELETE" and cid not in self.pins:
            return _response(404, {"outcome": "not-done", "message": "not pinned"})
        is_forgotten = self._lies("forgotten write")
        if not is_forgotten:
            self._before[cid] = self.pins.get(cid, "")
            self.pins[cid] = name
            if not name:
                del self.pins[cid]
        if not is_forgotten and self._lies("refusal of what was done"):
            return _response(503, {"outcome": "not-done", "message": "refused"})
        return _response(200, {"cid": cid, "name": name})

    def _read(self, cid: str) -> bytes:
        pins = self._before if cid in self._before and self._lies("stale read") else self.pins
        if not pins.get(cid):
            return _response(404, {"outcome": "not-done", "message": "not pinned"})
        return _response(200, {"cid": cid, "name": pins[cid]})

    def _lies(self, lie: Lie) -> bool:
        lies = self._lie == lie and self._dice.random() < _LIE_ODDS
        self.lies += lies
        return lies


def _response(status: int, body: dict[str, str]) -> bytes:
    text = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\n"
    return f"{head}X-Raft-Consistency: linearizable\r\n\r\n".encode() + text


@asynccontextmanager
async def serve_broken(lie: Lie, seed: int) -> AsyncIterator[BrokenServer]:
    """Serve on loopback inside the block."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        server = BrokenServer(lie, port, seed)
        nursery.start_soon(trio.serve_listeners, server.serve, listeners)
        yield server
        nursery.cancel_scope.cancel()
