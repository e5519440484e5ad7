"""The state of mode ``raft``: the list of all commands applied, in order."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from raft_over_libp2p.types import Index, LogEntry, Term

__all__ = ["Recorder"]

_HEADER: Final = struct.Struct(">QQI")
"""Index, term and length of the data that follows: the Go recorder's form."""
_CHUNK_BYTES: Final = 256 * 1024


class Recorder:
    """Keeps what it applies, or only counts it (benchmarks)."""

    def __init__(self, *, keep: bool) -> None:
        self.count = 0
        self.entries: list[LogEntry] = []
        self.restored: list[Index] = []
        """The last index of each snapshot restored, oldest first."""
        self._keep = keep

    def apply(self, entries: Sequence[LogEntry]) -> Sequence[object]:
        self.count += len(entries)
        if self._keep:
            self.entries.extend(entries)
        return [None] * len(entries)

    def snapshot(self) -> Iterator[bytes]:
        return _chunks(tuple(self.entries))

    def restore(self, chunks: Iterable[bytes]) -> list[LogEntry]:
        data = b"".join(chunks)
        entries = []
        offset = 0
        while offset < len(data):
            if len(data) - offset < _HEADER.size:
                raise ValueError(f"a recorder's snapshot ends inside a header at {offset}")
            index, term, length = _HEADER.unpack_from(data, offset)
            offset += _HEADER.size
            if len(data) - offset < length:
                raise ValueError(f"a recorder's snapshot ends inside an entry at {offset}")
            entries.append(LogEntry(Index(index), Term(term), data=data[offset : offset + length]))
            offset += length
        return entries

    def adopt(self, image: list[LogEntry]) -> None:
        self.entries = image
        self.count = len(self.entries)
        self.restored.append(self.entries[-1].index if self.entries else Index(0))


def _chunks(entries: Sequence[LogEntry]) -> Iterator[bytes]:
    chunk = bytearray()
    for entry in entries:
        chunk += _HEADER.pack(entry.index, entry.term, len(entry.data)) + entry.data
        if len(chunk) >= _CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk)
