"""Peers that come and go, and who leads: ``/peers`` as IPFS Cluster has it, and a transfer.

Where IPFS Cluster answers 500, or 204 for a stranger, the status here says what is wrong:
404 for a stranger, 409 when the cluster as it is now does not allow the change, 502 when the
peer itself is not there or is another one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from keys.errors import InvalidPeerID
from keys.peer_id import PeerID
from node import limits
from node.config.peer_multiaddr import split_peer_address
from node.http.backend import AgreedPinset, Leadership, PeerDirectory
from node.http.outcomes import Refusal
from node.http.pin_options import timeout_of
from raft_over_libp2p.errors import ProposalRefused

__all__ = ["membership_routes"]

_STATUS_OF: Final[Sequence[tuple[str, int]]] = (
    # What the leader says, in the words that cross the wire.
    ("is not a member of this cluster", 404),
    ("was not added:", 502),
    ("another membership change is open", 409),
    ("configuration changed since", 409),
    ("cannot remove ourselves from a 1-peer cluster", 409),
    ("need at least one voter in configuration", 409),
    ("was not heard of after it was added", 409),
    ("leadership stays", 409),
)


class _Membership:
    def __init__(
        self,
        consensus: AgreedPinset,
        directory: PeerDirectory,
        leadership: Leadership,
        timeout_s: float,
    ) -> None:
        self._consensus = consensus
        self._directory = directory
        self._leadership = leadership
        self._timeout_s = timeout_s

    async def add(self, request: Request) -> Response:
        name, text = _named_peer(await _body_of(request))
        timeout_s = timeout_of(request.query_params, self._timeout_s)
        try:
            if name == "peer_multiaddress":
                peer = _peer(_checked_multiaddr(text)[0])
                await self._consensus.log_add_peer(text, timeout_s=timeout_s)
            else:
                peer = _peer(text)
                await self._consensus.add_peer(peer, timeout_s=timeout_s)
        except ProposalRefused as error:
            raise _refusal(error) from error
        return JSONResponse(asdict(await self._directory.describe_peer(peer)))

    async def remove(self, request: Request) -> Response:
        peer = _peer(request.path_params["peer"])
        timeout_s = timeout_of(request.query_params, self._timeout_s)
        try:
            await self._consensus.log_rm_peer(peer, timeout_s=timeout_s)
        except ProposalRefused as error:
            raise _refusal(error) from error
        return Response(status_code=204, media_type="application/json")

    async def transfer(self, request: Request) -> Response:
        wanted = request.query_params.get("to", "")
        target = _peer(wanted) if wanted else None
        timeout_s = timeout_of(request.query_params, self._timeout_s)
        try:
            leader = await self._leadership.transfer(target, timeout_s=timeout_s)
        except ProposalRefused as error:
            raise _refusal(error) from error
        return JSONResponse({"leader": str(leader)})


def membership_routes(
    consensus: AgreedPinset, directory: PeerDirectory, leadership: Leadership, *, timeout_s: float
) -> list[Route]:
    """Return the routes that change who belongs to the cluster and who leads it."""
    membership = _Membership(consensus, directory, leadership, timeout_s)
    return [
        Route("/peers", membership.add, methods=["POST"]),
        Route("/peers/{peer}", membership.remove, methods=["DELETE"]),
        Route("/raft/leader/transfer", membership.transfer, methods=["POST"]),
    ]


async def _body_of(request: Request) -> bytes:
    """Return the body; one without a Content-Length is not bounded by what stands before."""
    body, most = b"", limits.MAX_REQUEST_BODY_BYTES
    try:
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > most:
                    raise Refusal(413, f"the body is larger than {most} bytes")
    except ClientDisconnect as error:
        raise Refusal(400, "the body broke off") from error
    return body


def _named_peer(body: bytes) -> tuple[str, str]:
    expected = 'the body must be {"peer_multiaddress": "/ip4/.../tcp/.../p2p/12D3Koo..."} or'
    expected += ' {"peer_id": "12D3Koo..."}'
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"error decoding request body: {expected}") from error
    given = dict(fields) if isinstance(fields, dict) else {}
    named = [(name, given[name]) for name in ("peer_multiaddress", "peer_id") if given.get(name)]
    if len(named) != 1 or not isinstance(named[0][1], str):
        raise Refusal(400, f"error decoding request body: {expected}")
    return named[0]


def _checked_multiaddr(text: str) -> tuple[str, str]:
    try:
        return split_peer_address(text)
    except ValueError as error:
        raise Refusal(400, f"error decoding peer_multiaddress: {error}") from error


def _peer(text: str) -> PeerID:
    try:
        return PeerID.parse(text)
    except InvalidPeerID as error:
        raise Refusal(400, f"error decoding peer ID: {error}") from error


def _refusal(error: ProposalRefused) -> ProposalRefused | Refusal:
    """Return what tells the client of ``error``: with the status that fits, where one does."""
    for words, status in _STATUS_OF:
        if words in str(error):
            headers = {"Retry-After": "1"} if "try again" in str(error) else None
            return Refusal(status, str(error), headers=headers)
    return error
