"""Lists of any length, as IPFS Cluster streams them: one JSON object a line (NDJSON)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

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
        _chunks(first, objects), headers=headers, media_type="application/json"
    )


async def _chunks(
    first: dict[str, object], objects: Iterator[dict[str, object]]
) -> AsyncIterator[bytes]:
    lines = [json_line(first)]
    for item in objects:
        lines.append(json_line(item))
        if len(lines) >= limits.MAX_STREAM_CHUNK_PINS:
            yield b"".join(lines)
            lines.clear()
    if lines:
        yield b"".join(lines)


def json_line(item: dict[str, object]) -> bytes:
    """Return ``item`` as Go's encoder writes it: compact, UTF-8, a newline at the end."""
    return json.dumps(item, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
