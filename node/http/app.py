"""The HTTP API: IPFS Cluster's paths and JSON for what this peer does, and ``/raft/...``.

Reads answer from this peer's own state and say in headers how fresh it is; writes go through
the log. Errors carry Cluster's ``code`` and ``message``, and ``outcome`` (``http.outcomes``).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, replace
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from node import limits
from node.allocation import NotEnoughPeers, allocate
from node.config.settings import APIConfig
from node.http.backend import AgreedPinset, Leadership, PeerDirectory
from node.http.guard import Guard
from node.http.membership import membership_routes
from node.http.metrics import CONTENT_TYPE, metrics_text
from node.http.outcomes import Refusal, raft_error_response
from node.http.pin_options import ReplicationFactors, cid_of, pin_of_request, timeout_of
from node.http.reads import freshness_headers, pinset_to_read
from node.http.status import status_body
from node.http.streams import json_line, ndjson_response
from pinstate.pin import Pin, PinType
from pinstate.pin_json import pin_to_json
from pinstate.state import PinState
from raft_over_libp2p.errors import InconsistentState, NoState, NotLeader, RaftError

__all__ = ["build_app"]

Handler = Callable[[Request], Awaitable[Response]]

_NOT_PINNED: Final = "pin is not part of the pinset"
_FILTERS: Final = {
    "all": frozenset(PinType),
    "pin": frozenset({PinType.DATA}),
    "meta-pin": frozenset({PinType.META}),
    "clusterdag-pin": frozenset({PinType.CLUSTER_DAG}),
    "shard-pin": frozenset({PinType.SHARD}),
}
_NO_TRACKER: Final = (
    "this peer tracks no IPFS daemon, so it cannot say where pins are held; "
    "/allocations lists the pinset"
)
_NOT_OFFERED: Final = "this peer does not offer this part of IPFS Cluster's API"


def build_app(
    consensus: AgreedPinset,
    directory: PeerDirectory,
    leadership: Leadership,
    *,
    config: APIConfig,
    version: str,
    replication: ReplicationFactors,
    is_removed: Callable[[], bool],
) -> Starlette:
    """Return the ASGI application.

    ``replication`` is what pins get that name no factors; ``is_removed`` tells whether this
    peer was removed from its cluster.
    """
    api = _API(consensus, directory, config, version, replication, is_removed)
    changes = membership_routes(
        consensus, directory, leadership, timeout_s=config.operation_timeout_s
    )
    middleware = [
        Middleware(
            Guard,
            basic_auth=config.basic_auth,
            max_head_bytes=config.max_header_bytes + limits.MAX_REQUEST_LINE_SLOP_BYTES,
        )
    ]
    if config.cors_allowed_origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=config.cors_allowed_origins,
                allow_methods=config.cors_allowed_methods,
                allow_headers=config.cors_allowed_headers,
                expose_headers=config.cors_exposed_headers,
                allow_credentials=config.cors_allow_credentials,
                max_age=round(config.cors_max_age_s),
            )
        )
    return Starlette(
        routes=[*changes, *api.routes()],
        middleware=middleware,
        exception_handlers={
            Refusal: _answer_refusal,
            RaftError: _answer_raft_error,
            HTTPException: _answer_http_exception,
        },
    )


class _API:
    """The handlers, and what they need."""

    def __init__(
        self,
        consensus: AgreedPinset,
        directory: PeerDirectory,
        config: APIConfig,
        version: str,
        replication: ReplicationFactors,
        is_removed: Callable[[], bool],
    ) -> None:
        self._consensus = consensus
        self._directory = directory
        self._timeout_s = config.operation_timeout_s
        self._version = version
        self._replication = replication
        self._is_removed = is_removed

    def routes(self) -> list[Route]:
        def route(method: str, path: str, handler: Handler) -> Route:
            return Route(path, handler, methods=[method])

        return [
            # Pins come first: routes are tried in order.
            route("POST", "/pins/{cid}", self.pin),
            route("DELETE", "/pins/{cid}", self.unpin),
            route("POST", "/pins/ipfs/{cid}", self.pin),
            route("DELETE", "/pins/ipfs/{cid}", self.unpin),
            route("GET", "/allocations", self.allocations),
            route("GET", "/allocations/{cid}", self.allocation),
            route("GET", "/id", self.id),
            route("GET", "/version", self.version),
            route("GET", "/peers", self.peers),
            route("GET", "/health", self.health),
            route("GET", "/raft/status", self.status),
            route("GET", "/raft/metrics", self.metrics),
            route("GET", "/pins", _no_tracker),
            route("GET", "/pins/{cid}", _no_tracker),
            *(Route(path, _not_offered, methods=methods) for path, methods in _UNOFFERED),
        ]

    async def pin(self, request: Request) -> Response:
        pin = pin_of_request(
            cid_of(request.path_params["cid"]),
            request.query_params,
            defaults=self._replication,
            now_ns=time.time_ns(),
        )
        timeout_s = timeout_of(request.query_params, self._timeout_s)
        if not pin.is_everywhere or pin.pin_update is not None:
            pin = self._allocated(pin)
        await self._consensus.log_pin(pin, timeout_s=timeout_s)
        return _json(pin_to_json(pin))

    def _allocated(self, pin: Pin) -> Pin:
        current = self._pinned_here(pin.cid)
        if pin.pin_update is not None:
            older = self._pinned_here(pin.pin_update)
            if older is None:
                raise Refusal(404, f"pin-update: {_NOT_PINNED}")
            current = current or older
        try:
            allocations = allocate(
                pin.cid,
                minimum=pin.replication_factor_min,
                maximum=pin.replication_factor_max,
                members=[peer.multihash for peer in self._consensus.peers()],
                wished=pin.user_allocations or (),
                current=(current.allocations or ()) if current else (),
            )
        except NotEnoughPeers as error:
            raise Refusal(500, str(error)) from error
        return replace(pin, allocations=allocations)

    def _pinned_here(self, cid: bytes) -> Pin | None:
        try:
            return self._consensus.state().get(cid)
        except NoState:
            return None

    async def unpin(self, request: Request) -> Response:
        cid = cid_of(request.path_params["cid"])
        timeout_s = timeout_of(request.query_params, self._timeout_s)
        pin = self._pinned_here(cid)
        if pin is None:
            pin = await self._pinned_now(cid, timeout_s)
        if pin is None:
            raise Refusal(404, _NOT_PINNED, headers=freshness_headers(self._consensus))
        await self._consensus.log_unpin(pin, timeout_s=timeout_s)
        return _json(pin_to_json(pin))

    async def _pinned_now(self, cid: bytes, timeout_s: float) -> Pin | None:
        """Look again, in a state that lags behind nothing where this peer leads.

        A follower has no such state: its answer is its own copy's, as a Go peer's.
        """
        try:
            state = await self._consensus.linearizable_state(timeout_s=timeout_s)
        except (NotLeader, NoState):
            return self._pinned_here(cid)
        return state.get(cid)

    async def allocations(self, request: Request) -> Response:
        wanted = _wanted_types(request.query_params.get("filter") or "all")
        state, headers = await pinset_to_read(
            self._consensus, request.query_params, timeout_s=self._timeout_s
        )
        return ndjson_response(_pins_as_json(state, wanted), headers)

    async def allocation(self, request: Request) -> Response:
        cid = cid_of(request.path_params["cid"])
        state, headers = await pinset_to_read(
            self._consensus, request.query_params, timeout_s=self._timeout_s
        )
        pin = state.get(cid)
        if pin is None:
            raise Refusal(404, _NOT_PINNED, headers=headers)
        return _json(pin_to_json(pin), headers)

    async def id(self, _: Request) -> Response:
        return _json(asdict(self._directory.describe_self()))

    async def version(self, _: Request) -> Response:
        return JSONResponse({"version": self._version})

    async def peers(self, _: Request) -> Response:
        peers = await self._directory.describe_peers()
        return ndjson_response((asdict(peer) for peer in peers), {})

    async def health(self, _: Request) -> Response:
        return Response(status_code=204, media_type="application/json")

    async def status(self, request: Request) -> Response:
        pins, digest, problem = None, None, ""
        try:
            state = self._consensus.state()
            pins = len(state)
            # The digest takes a pass over all pins.
            if request.query_params.get("digest") == "true":
                digest = state.digest()
        except NoState:
            pins = 0
        except InconsistentState as error:
            problem = str(error)
        body = status_body(
            self._consensus.status(),
            peername=self._directory.describe_self().peername,
            is_removed=self._is_removed(),
            pins=pins,
            digest=digest,
            state_error=problem,
        )
        return JSONResponse(body, headers=freshness_headers(self._consensus))

    async def metrics(self, _: Request) -> Response:
        text = metrics_text(self._consensus.metrics(), self._consensus.status())
        return Response(text, headers={"content-type": CONTENT_TYPE})


_UNOFFERED: Final[list[tuple[str, list[str]]]] = [
    ("/pins/{namespace}/{path:path}", ["POST", "DELETE"]),
    ("/add", ["POST"]),
    ("/token", ["POST"]),
    ("/ipfs/gc", ["POST"]),
    ("/health/{kind}", ["GET"]),
    ("/monitor/metrics", ["GET"]),
    ("/monitor/metrics/{name}", ["GET"]),
]


async def _no_tracker(_: Request) -> Response:
    raise Refusal(501, _NO_TRACKER)


async def _not_offered(_: Request) -> Response:
    raise Refusal(501, _NOT_OFFERED)


def _wanted_types(text: str) -> frozenset[int]:
    wanted: frozenset[int] = frozenset()
    for word in text.split(","):
        if word not in _FILTERS:
            raise Refusal(400, f"invalid filter value {word[:40]!r}; known: {', '.join(_FILTERS)}")
        wanted |= _FILTERS[word]
    return wanted


def _pins_as_json(state: PinState, wanted: frozenset[int]) -> Iterator[dict[str, object]]:
    return (pin_to_json(pin) for pin in state.list() if pin.type in wanted)


def _json(body: dict[str, object], headers: dict[str, str] | None = None) -> Response:
    return Response(json_line(body), media_type="application/json", headers=headers)


async def _answer_refusal(_: Request, error: Exception) -> Response:
    if not isinstance(error, Refusal):
        raise error
    return error.response()


async def _answer_raft_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, RaftError):
        raise error
    return raft_error_response(error)


async def _answer_http_exception(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return Refusal(
        error.status_code, error.detail.lower(), headers=dict(error.headers or {})
    ).response()
