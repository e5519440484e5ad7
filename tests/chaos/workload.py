"""Clients that write and read pins through the API of whichever peer, and record each call.

Each client has one call under way, each call a deadline, and each pin a value of its own (the
pin's name). The clients share a few CIDs, so that their calls meet; a CID is replaced after
some hundred calls, or an unpin of unknown outcome, which keeps its history quick to judge.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from typing import Final, Protocol

import trio

from pinstate.cid import cid_text, raw_sha256_cid
from tests.chaos.api_client import Answer, AnswerLost, Connection, NotSent
from tests.chaos.history import ABSENT, Kind, Operation, Outcome
from tests.chaos.peers import GoPeer

__all__ = ["Server", "Workload", "outcome_of"]

_SHARED_CIDS: Final = 6
_CALLS_A_CID: Final = 200
_CALL_S: Final = 1.5
"""A daemon is told so; the client waits a little longer to hear what became of the call."""
_MARGIN_S: Final = 0.5
_AVOIDED_S: Final = 1.5
"""A client turns from a peer that gave no answer for so long."""
_REFUSED_PAUSE_S: Final = 0.1
_READ_ODDS: Final = 0.5
_OLD_READ_ODDS: Final = 0.1
_UNPIN_ODDS: Final = 0.25


class Server(Protocol):
    """A peer with an HTTP API."""

    @property
    def number(self) -> int: ...

    def connection(self) -> Connection: ...


class Workload:
    """The clients' common plan, and the history they write."""

    def __init__(self, seed: int, peers: Sequence[Server | GoPeer], clients: int) -> None:
        self.history: list[Operation] = []
        self._seed = seed
        self._peers = peers
        self._clients = clients
        self._made = 0
        self._calls: dict[str, int] = {}
        self._retired: list[str] = []
        self._values = 0
        self._is_over = False
        for _ in range(_SHARED_CIDS):
            self._add_cid()

    @property
    def cids(self) -> list[str]:
        """Every CID that was ever used."""
        return [*self._retired, *self._calls]

    async def run(self) -> None:
        """Run all clients until :meth:`end`, and return when their last calls have."""
        async with trio.open_nursery() as nursery:
            for number in range(self._clients):
                nursery.start_soon(self._client, number)

    def end(self) -> None:
        self._is_over = True

    def _add_cid(self) -> None:
        content = f"chaos {self._seed} {self._made}".encode()
        self._calls[cid_text(raw_sha256_cid(content))] = 0
        self._made += 1

    async def _client(self, number: int) -> None:
        dice = random.Random(f"client {self._seed} {number}")
        connections = {
            peer.number: peer.connection() for peer in self._peers if not isinstance(peer, GoPeer)
        }
        avoided_until: dict[int, float] = {}
        try:
            while not self._is_over:
                now = trio.current_time()
                free = [p for p in self._peers if avoided_until.get(p.number, 0.0) <= now]
                peer = dice.choice(free or list(self._peers))
                call = await self._call(dice, number, peer, connections)
                self.history.append(call)
                self._count(call)
                if call.outcome == "unknown":
                    avoided_until[peer.number] = trio.current_time() + _AVOIDED_S
                if call.outcome != "done":
                    await trio.sleep(_REFUSED_PAUSE_S)
        finally:
            for connection in connections.values():
                connection.close()

    async def _call(
        self,
        dice: random.Random,
        client: int,
        peer: Server | GoPeer,
        connections: dict[int, Connection],
    ) -> Operation:
        kind, cid = self._choose(dice)
        self._values += 1
        value = f"v{self._values}" if kind == "pin" else ABSENT
        begun_ns = time.monotonic_ns()
        if isinstance(peer, GoPeer):
            kind, value = "pin", f"v{self._values}"
            done = await peer.pin(cid, value, _CALL_S)
            outcome: Outcome = "done" if done else "unknown"
            ended_ns = time.monotonic_ns()
            return Operation(client, peer.number, kind, cid, value, begun_ns, ended_ns, outcome)
        outcome, seen, detail = await self._ask(connections[peer.number], kind, cid, value)
        ended_ns = time.monotonic_ns()
        if kind == "read":
            value = seen
        return Operation(client, peer.number, kind, cid, value, begun_ns, ended_ns, outcome, detail)

    def _choose(self, dice: random.Random) -> tuple[Kind, str]:
        shared = dice.choice(list(self._calls))
        if dice.random() < _READ_ODDS:
            if self._retired and dice.random() < _OLD_READ_ODDS:
                return "read", dice.choice(self._retired)
            return "read", shared
        return ("unpin" if dice.random() < _UNPIN_ODDS else "pin"), shared

    async def _ask(
        self, connection: Connection, kind: Kind, cid: str, value: str
    ) -> tuple[Outcome, str, str]:
        limit = f"timeout={round(_CALL_S * 1000)}ms"
        match kind:
            case "pin":
                method, target = "POST", f"/pins/{cid}?name={value}&{limit}"
            case "unpin":
                method, target = "DELETE", f"/pins/{cid}?{limit}"
            case "read":
                method, target = "GET", f"/allocations/{cid}?consistency=linearizable&{limit}"
        try:
            answer = await connection.request(method, target, within_s=_CALL_S + _MARGIN_S)
        except NotSent as error:
            return "not-done", ABSENT, str(error)
        except AnswerLost as error:
            return "unknown", ABSENT, str(error)
        return outcome_of(kind, answer)

    def _count(self, call: Operation) -> None:
        if call.cid not in self._calls or call.outcome == "not-done":
            return
        self._calls[call.cid] += 1
        is_unclear = call.kind == "unpin" and call.outcome == "unknown"
        if is_unclear or self._calls[call.cid] >= _CALLS_A_CID:
            del self._calls[call.cid]
            self._retired.append(call.cid)
            self._add_cid()


def outcome_of(kind: Kind, answer: Answer) -> tuple[Outcome, str, str]:
    """Return what an answer says: the outcome, the value a read saw, and the refusal's text.

    An answer without an outcome, as a server's that broke, is unknown.
    """
    if answer.status == 200:
        return "done", answer.json()["name"] if kind == "read" else ABSENT, ""
    is_linearizable = answer.headers.get("x-raft-consistency") == "linearizable"
    if kind == "read" and answer.status == 404 and is_linearizable:
        return "done", ABSENT, ""
    try:
        said = answer.json()
        outcome, message = said["outcome"], said["message"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return "unknown", ABSENT, f"answered {answer.status}"
    return ("unknown" if outcome == "unknown" else "not-done"), ABSENT, message
