"""Traces of processes: one NDJSON file a process, put together by the clock they share.

A line is what ``RaftTrace.tla`` reads, with ``ns``, the machine's monotonic clock when it was
written. It is in the file before the server does what it says: what one has heard stands
behind what another said. So the files of a cluster on one machine merge by ``ns``.
"""

from __future__ import annotations

import heapq
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from raft_over_libp2p.core.trace import Tracer
from tests.model.lines import Line, Lines

__all__ = ["MOST_BYTES", "merged", "trace_to"]

MOST_BYTES: Final = 16 << 20
"""A test's cluster writes some 100 KiB; TLC needs minutes for a hundredth of this."""
_CUT: Final = "cut"


@contextmanager
def trace_to(path: Path, *, most_bytes: int = MOST_BYTES) -> Iterator[Tracer]:
    """Append the trace of this process's server to the file at ``path``, unbuffered.

    The end of a file that would grow beyond ``most_bytes`` is a line that says so: ``merged``
    refuses it.
    """
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    written = os.fstat(file).st_size

    def say(line: Line) -> None:
        nonlocal written
        if written >= most_bytes:
            return
        text = json.dumps({"ns": time.monotonic_ns(), **line}, default=sorted)
        written += len(text) + 1
        if written >= most_bytes:
            text = json.dumps({"ns": time.monotonic_ns(), "do": _CUT, "i": line["i"]})
        os.write(file, text.encode() + b"\n")

    try:
        yield Lines(say).take
    finally:
        os.close(file)


def merged(paths: Iterable[Path]) -> list[Line]:
    """Return the lines of all files in the order they were written.

    A last line without an end is of a process that was killed, and is left out.

    Raises:
        ValueError: a file was cut at its size limit, or a line is damaged; says which.

    """
    lines = list(heapq.merge(*map(_lines, paths), key=lambda line: line["ns"]))
    for line in lines:
        del line["ns"]
    return lines


def _lines(path: Path) -> Iterator[Line]:
    *texts, _ = path.read_text().split("\n")
    for number, text in enumerate(texts, 1):
        try:
            line: Line = json.loads(text, object_hook=_with_sets)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        if line["do"] == _CUT:
            raise ValueError(f"{path}, line {number}: the trace was cut at its size limit")
        yield line


def _with_sets(found: dict[str, Any]) -> dict[str, Any]:
    """A configuration's members are sets, which JSON has not."""
    if found.keys() == {"voters", "others"}:
        return {key: frozenset(members) for key, members in found.items()}
    return found
