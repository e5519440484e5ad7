"""Reads commands and writes answers, as the Go peer's ``console.go`` does."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import trio

from node.swarm.dialing import DialFailed
from raft_over_libp2p.errors import RaftError

__all__ = ["Command", "CommandFailed", "Console"]

Command: TypeAlias = Callable[..., Awaitable[object]]
"""Takes the request's fields by name and gives the result."""

_READ_BYTES: Final = 64 * 1024
_STDIN: Final = 0
_STDOUT: Final = 1


class CommandFailed(Exception):
    """Why a command gives no result."""


class Console:
    """One JSON line a command, one an answer; each command runs by itself."""

    def __init__(self) -> None:
        # Duplicates: closing these must not close the process's own.
        self._in = trio.lowlevel.FdStream(os.dup(_STDIN))
        self._out = trio.lowlevel.FdStream(os.dup(_STDOUT))
        self._writing = trio.Lock()

    async def serve(self, commands: Mapping[str, Command]) -> dict[str, Any]:
        """Run commands until one is ``quit``, and return that one.

        The end of input ends the process without a word to its peers, as a kill does.
        """
        async with trio.open_nursery() as nursery:
            buffer = bytearray()
            async for chunk in self._in:
                buffer += chunk
                *lines, rest = buffer.split(b"\n") if b"\n" in chunk else [buffer]
                buffer = bytearray(rest)
                for line in lines:
                    request = json.loads(line)
                    if request["cmd"] == "quit":
                        nursery.cancel_scope.cancel()
                        return dict(request)
                    nursery.start_soon(self._run, commands, request)
            os._exit(0)

    async def send(self, message: Mapping[str, object]) -> None:
        async with self._writing:
            await self._out.send_all(json.dumps(message).encode() + b"\n")

    async def _run(self, commands: Mapping[str, Command], request: dict[str, Any]) -> None:
        number, name = request.pop("id"), request.pop("cmd")
        command = commands.get(name)
        if command is None:
            await self.send({"id": number, "error": f'unknown command "{name}"'})
            return
        try:
            result = await command(**request)
        except (RaftError, DialFailed, CommandFailed) as error:
            await self.send({"id": number, "error": f"{type(error).__name__}: {error}"})
        except Exception:  # noqa: BLE001 - the test that asked is to see it, whatever it is
            await self.send({"id": number, "error": traceback.format_exc()})
        else:
            await self.send({"id": number, "result": result})
