"""HTTP/1.1 on kept connections into a peer's namespace: small, so that clients cost little.

Whoever calls must know whether a request that failed had left, so this tells the two apart.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import trio

__all__ = ["API_PORT", "Answer", "AnswerLost", "Connection", "NotSent"]

API_PORT: Final = 9094
_CONNECT_S: Final = 1.0
"""The API is on the namespace's loopback: a daemon that lives accepts at once."""
_CHUNK_BYTES: Final = 64 * 1024


class NotSent(Exception):
    """Nobody took the connection: the peer has not seen the request."""


class AnswerLost(Exception):
    """The request left, and no whole answer came."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One connection to the API at ``port`` of a loopback, opened when needed. One user.

    ``make_socket`` makes a TCP socket in the network namespace of that loopback.
    """

    def __init__(self, make_socket: Callable[[], socket.socket], port: int = API_PORT) -> None:
        self._make_socket = make_socket
        self._port = port
        self._socket: trio.socket.SocketType | None = None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def request(
        self, method: str, target: str, *, within_s: float, body: bytes = b""
    ) -> Answer:
        """Send one request and return its answer.

        Raises:
            NotSent: nobody listens, or takes the connection.
            AnswerLost: the connection ended, or no answer came ``within_s``.

        """
        opened = await self._open()
        head = f"{method} {target} HTTP/1.1\r\nHost: peer\r\nContent-Length: {len(body)}\r\n\r\n"
        keeps = False
        try:
            with trio.fail_after(within_s):
                await _send(opened, head.encode() + body)
                answer = await _receive(opened)
            keeps = answer.headers.get("connection", "").lower() != "close"
        except (OSError, trio.TooSlowError, ValueError) as error:
            raise AnswerLost(str(error) or "no answer in time") from error
        else:
            return answer
        finally:
            if not keeps:
                self.close()

    async def _open(self) -> trio.socket.SocketType:
        if self._socket is not None:
            return self._socket
        opened = trio.socket.from_stdlib_socket(self._make_socket())
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with trio.fail_after(_CONNECT_S):
                await opened.connect(("127.0.0.1", self._port))
        except (OSError, trio.TooSlowError) as error:
            opened.close()
            raise NotSent(str(error)) from error
        except trio.Cancelled:
            opened.close()
            raise
        self._socket = opened
        return opened


async def _send(opened: trio.socket.SocketType, data: bytes) -> None:
    while data:
        data = data[await opened.send(data) :]


async def _receive(opened: trio.socket.SocketType) -> Answer:
    """Read one response; a malformed one is a ValueError."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += await _some(opened)
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    status = int(first.partition(" ")[2][:3])
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if "chunked" in headers.get("transfer-encoding", ""):
        body = await _chunked(opened, rest)
    else:
        length = int(headers.get("content-length", "0"))
        while len(rest) < length:
            rest += await _some(opened)
        body = rest
    return Answer(status, headers, body)


async def _chunked(opened: trio.socket.SocketType, rest: bytes) -> bytes:
    body = b""
    while True:
        while b"\r\n" not in rest:
            rest += await _some(opened)
        size_text, _, rest = rest.partition(b"\r\n")
        size = int(size_text, 16)
        while len(rest) < size + 2:
            rest += await _some(opened)
        body, rest = body + rest[:size], rest[size + 2 :]
        if size == 0:
            return body


async def _some(opened: trio.socket.SocketType) -> bytes:
    chunk = await opened.recv(_CHUNK_BYTES)
    if not chunk:
        raise OSError("the connection ended")
    return chunk
