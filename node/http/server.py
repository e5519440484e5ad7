"""Serving the API with Hypercorn on trio, on sockets bound beforehand.

Binding first makes a busy port a plain error before anything else starts.
"""

from __future__ import annotations

import logging
import socket
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from multiaddr import Multiaddr
from starlette.types import ASGIApp
from trio import TaskStatus

from node import limits
from node.config.settings import APIConfig
from node.errors import AddressInUse, ConfigError

if TYPE_CHECKING:
    from hypercorn.typing import ASGIFramework

__all__ = ["APIServer", "socket_address"]

_logger = logging.getLogger(__name__)
_BACKLOG = 256
_GRACE_S = 1.0
"""How long requests under way may take once the server is told to stop."""
_MAX_REQUESTS_A_CONNECTION = 2**62
"""Hypercorn closes a connection after so many; clients with one connection send many."""


def socket_address(multiaddr: str) -> tuple[socket.AddressFamily, str, int]:
    """Return family, host and port of a multiaddr such as ``/ip4/127.0.0.1/tcp/9094``.

    Raises:
        ValueError: it is not an address a TCP server can listen on.

    """
    parts = str(Multiaddr(multiaddr)).split("/")
    match parts[1:]:
        case ["ip4", host, "tcp", port]:
            return socket.AF_INET, host, int(port)
        case ["ip6", host, "tcp", port]:
            return socket.AF_INET6, host, int(port)
        case ["dns" | "dns4", host, "tcp", port]:
            return socket.AF_INET, host, int(port)
        case ["dns6", host, "tcp", port]:
            return socket.AF_INET6, host, int(port)
        case _:
            raise ValueError(f"{multiaddr} is not an address such as /ip4/127.0.0.1/tcp/9094")


@dataclass(slots=True)
class APIServer:
    """Listening sockets, and the server that will answer on them."""

    sockets: list[socket.socket]
    config: APIConfig

    @classmethod
    def bind(cls, config: APIConfig) -> Self:
        """Bind every listen address of ``config``; port 0 means any free one.

        Raises:
            AddressInUse: an address is taken or not this machine's; names it and says what to do.
            ConfigError: an address is not one of TCP.

        """
        with ExitStack() as undo:
            sockets = []
            for multiaddr in config.listen_multiaddrs:
                bound = _bind(multiaddr)
                undo.callback(bound.close)
                sockets.append(bound)
            undo.pop_all()
        return cls(sockets, config)

    @property
    def urls(self) -> list[str]:
        """Where the API is reached."""
        return [f"http://{_shown(bound)}" for bound in self.sockets]

    def close(self) -> None:
        """Release the sockets of a server that was never run."""
        for bound in self.sockets:
            bound.close()

    async def run(
        self,
        app: ASGIApp,
        *,
        stop: trio.Event | None = None,
        task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve ``app`` until cancelled, or ``stop`` is set and requests under way have ended.

        Takes the sockets over.
        """
        config = Config()
        config.bind = [f"fd://{bound.detach()}" for bound in self.sockets]
        config.backlog = _BACKLOG
        config.include_server_header = False
        config.accesslog = None
        config.errorlog = _logger
        config.graceful_timeout = _GRACE_S
        config.keep_alive_timeout = self.config.idle_timeout_s or limits.MAX_OPERATION_TIMEOUT_S
        config.keep_alive_max_requests = _MAX_REQUESTS_A_CONNECTION
        config.h11_max_incomplete_size = (
            self.config.max_header_bytes + limits.MAX_REQUEST_LINE_SLOP_BYTES
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(_serve, app, config, trio.Event() if stop is None else stop)
            task_status.started()


async def _serve(
    app: ASGIApp, config: Config, stop: trio.Event, *, task_status: TaskStatus[list[str]]
) -> None:
    framework: ASGIFramework = app  # type: ignore[assignment]  # the same protocol, typed twice
    await serve(framework, config, mode="asgi", shutdown_trigger=stop.wait, task_status=task_status)


def _bind(multiaddr: str) -> socket.socket:
    try:
        family, host, port = socket_address(multiaddr)
    except ValueError as error:
        raise ConfigError("API", "http_listen_multiaddress", str(error)) from error
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sys.platform == "linux":
            # Accepted connections inherit it. Hypercorn itself waits for ever for a client that
            # stopped reading a list, and cannot be cancelled while it does.
            stalled_ms = round(limits.STALLED_READER_S * 1000)
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, stalled_ms)
        bound.bind((host, port))
        bound.listen(_BACKLOG)
        bound.settimeout(0)
    except OSError as error:
        bound.close()
        raise AddressInUse(
            f"the API cannot listen on {multiaddr}: {error.strerror}. Stop the program that "
            "uses it, or choose another address with --api-listen or "
            "api.restapi.http_listen_multiaddress in service.json."
        ) from error
    return bound


def _shown(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if bound.family is socket.AF_INET6 else f"{host}:{port}"
