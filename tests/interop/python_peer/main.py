"""One server from its command line to its end."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import trio

from tests.interop.python_peer.commands import commands_of
from tests.interop.python_peer.console import Console
from tests.interop.python_peer.options import Options, parse_options
from tests.interop.python_peer.server import open_server

__all__ = ["main"]


def main(arguments: Sequence[str]) -> None:
    """Serve until the command ``quit``, or until standard input ends."""
    options = parse_options(arguments)
    logging.basicConfig(
        stream=sys.stderr,
        level=options.log.upper().replace("WARN", "WARNING"),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    trio.run(_serve, options)


async def _serve(options: Options) -> None:
    console = Console()
    async with open_server(options) as server:
        ready = {
            "event": "ready",
            "id": str(server.swarm.peer_id),
            "addrs": server.addresses(),
        }
        await console.send(ready)
        request = await console.serve(commands_of(server))
    await console.send({"id": request["id"], "result": {}})
