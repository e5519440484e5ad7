"""``python -m tests.interop.python_peer``: one server, driven by JSON lines."""

from __future__ import annotations

import logging
import sys

import trio

from tests.interop.python_peer.commands import commands_of
from tests.interop.python_peer.console import Console
from tests.interop.python_peer.options import Options, parse_options
from tests.interop.python_peer.server import open_server


async def _main(options: Options) -> None:
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


if __name__ == "__main__":
    _options = parse_options(sys.argv[1:])
    logging.basicConfig(
        stream=sys.stderr,
        level=_options.log.upper().replace("WARN", "WARNING"),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    trio.run(_main, _options)
