"""Go's ``raft.db`` as Raft sees it: term, vote and log entries (raft-boltdb, both generations).

Bucket ``logs``: the entry's index (u64, big-endian) to its msgpack form, that of the wire.
Bucket ``conf``: ``CurrentTerm`` and ``LastVoteTerm`` (u64, big-endian) and ``LastVoteCand``, the
candidate's address, which with go-libp2p-raft is its peer ID as text. A key that was never set
is missing. The vote is two transactions, its term first, so a crash may leave the newer term
with the older candidate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from keys.errors import InvalidPeerID
from keys.peer_id import PeerID
from raft_over_libp2p.errors import CorruptLog, MalformedMessage, RemoteProtocolError, StorageError
from raft_over_libp2p.storage.bolt_reader import BoltBucket, BoltFile
from raft_over_libp2p.storage.filesystem import FileSystem
from raft_over_libp2p.types import NO_INDEX, NO_TERM, Index, LogEntry, ServerID, Term
from raft_over_libp2p.wire.log_entry import decode_entry

__all__ = [
    "CONF_BUCKET",
    "CURRENT_TERM",
    "LAST_VOTE_CANDIDATE",
    "LAST_VOTE_TERM",
    "LOGS_BUCKET",
    "GoStore",
    "GoVote",
    "uint64_key",
]

LOGS_BUCKET: Final = b"logs"
CONF_BUCKET: Final = b"conf"
CURRENT_TERM: Final = b"CurrentTerm"
LAST_VOTE_TERM: Final = b"LastVoteTerm"
LAST_VOTE_CANDIDATE: Final = b"LastVoteCand"
_UINT64_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class GoVote:
    """What ``conf`` holds; term 0 and no candidate where it holds nothing."""

    current_term: Term
    last_vote_term: Term
    last_vote_candidate: ServerID | None


class GoStore:
    """An open ``raft.db``; a context manager. Reads only; the caller keeps Go from running.

    Raises:
        CorruptLog: both meta pages are damaged, the file is cut short, or it is no ``raft.db``.
        StorageError: it cannot be opened, or its format is of a newer version.

    """

    def __init__(self, fs: FileSystem, path: str) -> None:
        self.path = path
        self._bolt = BoltFile.open(fs, path)
        try:
            self._logs = self._bucket(LOGS_BUCKET)
            self._conf = self._bucket(CONF_BUCKET)
        except BaseException:
            self._bolt.close()
            raise

    @property
    def damaged_meta(self) -> str | None:
        """Why one of the two meta pages is damaged: the last transaction may be missing."""
        return self._bolt.damaged_meta

    @property
    def size_bytes(self) -> int:
        """How long the file's pages are together."""
        return self._bolt.meta.high_water * self._bolt.meta.page_size

    def vote(self) -> GoVote:
        """Return term and vote as they stand there.

        Raises:
            CorruptLog: a value is not of its kind.

        """
        candidate = self._conf.get(LAST_VOTE_CANDIDATE)
        return GoVote(
            Term(self._uint64(CURRENT_TERM)),
            Term(self._uint64(LAST_VOTE_TERM)),
            self._peer(candidate) if candidate else None,
        )

    def first_index(self) -> Index:
        """Return the index of the first entry, 0 without any."""
        found = next(self._logs.items(), None)
        return NO_INDEX if found is None else self._index(found[0])

    def last_entry(self) -> tuple[Index, Term]:
        """Return index and term of the last entry, zeros without any."""
        found = self._logs.last()
        if found is None:
            return NO_INDEX, NO_TERM
        entry = self._entry(*found)
        return entry.index, entry.term

    def entries(self, first: Index) -> Iterator[LogEntry]:
        """Yield the entries from index ``first`` on, in order; each has its canonical bytes.

        Raises:
            CorruptLog: a page or an entry is damaged; discard what was yielded before.

        """
        for key, value in self._logs.items(uint64_key(first)):
            yield self._entry(key, value)

    def close(self) -> None:
        """Release the file; idempotent."""
        self._bolt.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- inside

    def _bucket(self, name: bytes) -> BoltBucket:
        bucket = self._bolt.bucket(name)
        if bucket is None:
            raise CorruptLog(self.path, 0, f"it has no bucket {name.decode()!r}: no raft.db of Go")
        return bucket

    def _uint64(self, key: bytes) -> int:
        value = self._conf.get(key)
        if value is None:
            return 0
        if len(value) != _UINT64_BYTES:
            raise CorruptLog(self.path, 0, f"{key.decode()} has {len(value)} bytes, not 8")
        return int.from_bytes(value)

    def _peer(self, value: bytes) -> ServerID:
        try:
            return ServerID(str(PeerID.parse(value.decode())))
        except (UnicodeDecodeError, InvalidPeerID) as error:
            raise CorruptLog(
                self.path, 0, f"{LAST_VOTE_CANDIDATE.decode()} is not a peer ID: {error}"
            ) from None

    def _index(self, key: bytes) -> Index:
        if len(key) != _UINT64_BYTES:
            raise CorruptLog(self.path, 0, f"the key {key.hex()} of an entry is not 8 bytes long")
        return Index(int.from_bytes(key))

    def _entry(self, key: bytes, value: bytes) -> LogEntry:
        index = self._index(key)
        try:
            entry = decode_entry(value)
        except MalformedMessage as error:
            raise CorruptLog(self.path, 0, f"entry {index}: {error}") from None
        except RemoteProtocolError as error:
            raise StorageError(
                f"{self.path}: entry {index} cannot be taken over: {error}. Nothing was changed. "
                "Let the Go peer run until a snapshot covers this entry, or remove the peer from "
                "the cluster and add it again with an empty folder."
            ) from None
        if entry.index != index:
            raise CorruptLog(self.path, 0, f"entry {entry.index} stands where {index} belongs")
        return entry


def uint64_key(value: int) -> bytes:
    """Return ``value`` as keys and numbers stand in ``raft.db``."""
    return value.to_bytes(_UINT64_BYTES, "big")
