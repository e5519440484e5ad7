"""What stands before every route: how much may come in, and from whom."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from node import limits
from node.http.outcomes import Refusal

__all__ = ["Guard"]

_REALM: Final = 'Basic realm="Restricted IPFS Cluster API"'


class Guard:
    """Refuses requests that are too large, too many, or without the right password.

    ``/health`` needs no password, as with IPFS Cluster. Passwords are compared in constant
    time, and all of them each time, so that an answer's delay tells nothing.
    """

    def __init__(
        self, app: ASGIApp, *, basic_auth: Mapping[str, str] | None, max_head_bytes: int
    ) -> None:
        self._app = app
        self._credentials = (
            None
            if basic_auth is None
            else [f"{user}:{password}".encode() for user, password in basic_auth.items()]
        )
        self._max_head_bytes = max_head_bytes
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
        except Refusal as refusal:
            await refusal.response()(scope, receive, send)
            return
        self._running += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._running -= 1

    def _check(self, scope: Scope) -> None:
        if self._running >= limits.MAX_CONCURRENT_REQUESTS:
            raise Refusal(503, "too many requests at once", headers={"Retry-After": "1"})
        most = self._max_head_bytes
        url_bytes = len(scope["raw_path"]) + len(scope["query_string"])
        if url_bytes > most:
            raise Refusal(414, f"the URL is longer than {most} bytes")
        # Hypercorn limits only a head that comes in pieces.
        if url_bytes + sum(len(name) + len(value) for name, value in scope["headers"]) > most:
            raise Refusal(431, f"URL and headers are longer than {most} bytes")
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > limits.MAX_REQUEST_BODY_BYTES:
            raise Refusal(413, f"the body is larger than {limits.MAX_REQUEST_BODY_BYTES} bytes")
        if self._credentials is not None and scope["path"] != "/health":
            self._check_password(headers.get(b"authorization", b""), self._credentials)

    @staticmethod
    def _check_password(authorization: bytes, credentials: list[bytes]) -> None:
        if not authorization:
            raise Refusal(401, "unauthorized: no auth provided", headers=_challenge())
        scheme, _, encoded = authorization.partition(b" ")
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except binascii.Error:
            given = b""
        matches = [hmac.compare_digest(given, credential) for credential in credentials]
        if scheme.lower() != b"basic" or not any(matches):
            raise Refusal(401, "unauthorized: access denied", headers=_challenge())


def _challenge() -> dict[str, str]:
    return {"WWW-Authenticate": _REALM}
