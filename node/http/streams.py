"""Lists of any length, as IPFS Cluster streams them: one JSON object a line (NDJSON)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, islice
from typing import Self

from starlette.responses import Response, StreamingResponse

from node import limits

__all__ = ["json_line", "ndjson_response"]


def ndjson_response(objects: Iterator[dict[str, object]], headers: dict[str, str]) -> Response:
    """Return an answer that streams ``objects``; 204 when there are none.

    A bounded number of objects is encoded between two sends, so that a long list does not
    hold up the event loop that Raft's heartbeats run on.
    """
    first = next(objects, None)
    if first is None:
        return Response(status_code=204, headers=headers, media_type="application/json")
    return StreamingResponse(
        _Chunks(chain((first,), objects)), headers=headers, media_type="application/json"
    )


class _Chunks:
    """Pieces of the answer. Not an async generator: nobody closes one when the client goes."""

    def __init__(self, objects: Iterator[dict[str, object]]) -> None:
        self._objects = objects

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = b"".join(map(json_line, islice(self._objects, limits.MAX_STREAM_CHUNK_PINS)))
        if not piece:
            raise StopAsyncIteration
        return piece


def json_line(item: dict[str, object]) -> bytes:
    """Return ``item`` as Go's encoder writes it: compact, UTF-8, a newline at the end."""
    return json.dumps(item, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
