"""Running a command line in this process, against a fake peer behind a real HTTP server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import trio

from node.http.app import build_app
from node.http.pin_options import ReplicationFactors
from node.http.server import APIServer
from tests.node.fakes import FakeConsensus, FakeDirectory, api_config


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@contextmanager
def serving(consensus: FakeConsensus, folder: Path, **changes: object) -> Iterator[str]:
    config = api_config(folder, listen_multiaddrs=("/ip4/127.0.0.1/tcp/0",), **changes)
    server = APIServer.bind(config)
    app = build_app(
        consensus,
        FakeDirectory(),
        consensus,
        config=config,
        version="1.2.3",
        replication=ReplicationFactors(),
        is_removed=lambda: consensus.is_removed,
    )
    started = threading.Event()
    scope = trio.CancelScope()
    tokens: list[trio.lowlevel.TrioToken] = []

    async def serve() -> None:
        tokens.append(trio.lowlevel.current_trio_token())
        with scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(server.run, app)
                started.set()

    url = server.urls[0]
    thread = threading.Thread(target=trio.run, args=(serve,))
    thread.start()
    started.wait(10)
    try:
        yield url
    finally:
        tokens[0].run_sync_soon(scope.cancel)
        thread.join()
