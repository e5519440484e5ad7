"""A pinset as Cluster's snapshots hold it (``state.bin``): one msgpack map after another.

Each is ``{"k": <datastore key without its namespace>, "v": <the pin in protobuf>}``; there is
no header, count or order, and no bytes at all is the empty pinset. A rollback entry of the log
has the same form.

Source: ``State.Marshal`` and ``Unmarshal`` in IPFS Cluster's ``state/dsstate/datastore.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgpack

from pinstate import go_msgpack
from pinstate.cid import InvalidCid, cid_of_datastore_key, datastore_key
from pinstate.errors import MalformedPin, MalformedSnapshot
from pinstate.limits import MAX_RECORD_BYTES, SNAPSHOT_CHUNK_BYTES, UNPACK_SLICE_BYTES
from pinstate.pin_protobuf import canonical

__all__ = ["read_records", "read_rollback", "write_records"]

_FIELDS: Final = (b"k", b"v")
_NAMESPACE_CHARS: Final = len("/r/")


def write_records(
    pins: Iterable[tuple[bytes, bytes]], chunk_bytes: int = SNAPSHOT_CHUNK_BYTES
) -> Iterator[bytes]:
    """Yield the records of ``pins`` (CID, protobuf), in pieces of about ``chunk_bytes``."""
    parts: list[bytes] = []
    size = 0
    for cid, value in pins:
        key = datastore_key(cid)[_NAMESPACE_CHARS:].encode("ascii")
        record = b"\x82\xa1k" + go_msgpack.raw(key) + b"\xa1v" + go_msgpack.raw(value)
        parts.append(record)
        size += len(record)
        if size >= chunk_bytes:
            yield b"".join(parts)
            parts, size = [], 0
    if parts:
        yield b"".join(parts)


def read_records(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield CID and canonical protobuf of each pin in a snapshot that arrives in pieces.

    A record whose key is no CID is passed over: Go's peers make one, with an empty key, of a
    log entry with an unknown field, and do not list it either.

    Raises:
        MalformedSnapshot: not such records, cut short, or one above its limit. Discard what
            was yielded before.

    """
    fed = complete = 0
    reader = _Reader()
    for chunk in chunks:
        for start in range(0, len(chunk), UNPACK_SLICE_BYTES):
            piece = chunk[start : start + UNPACK_SLICE_BYTES]
            fed += len(piece)
            for record, end in reader.feed(piece):
                complete = end
                pin = _pin_of(record, end)
                if pin is not None:
                    yield pin
    if complete != fed:
        raise MalformedSnapshot(f"the snapshot ends within a record, at byte {fed}")


def read_rollback(payload: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the pins of a rollback entry, as :func:`read_records` but for its end.

    An entry that ends within a record is taken up to there, as Go's decoder does: it takes any
    end of its input for the end of the records.

    Raises:
        MalformedSnapshot: not such records.

    """
    reader = _Reader()
    for start in range(0, len(payload), UNPACK_SLICE_BYTES):
        for record, end in reader.feed(payload[start : start + UNPACK_SLICE_BYTES]):
            pin = _pin_of(record, end)
            if pin is not None:
                yield pin


class _Reader:
    """An incremental msgpack reader with limits."""

    __slots__ = ("_unpacker",)

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(
            raw=True,
            use_list=False,
            object_pairs_hook=list,
            strict_map_key=False,
            ext_hook=go_msgpack.Extension,
            read_size=UNPACK_SLICE_BYTES,
            max_buffer_size=MAX_RECORD_BYTES + 2 * UNPACK_SLICE_BYTES,
            max_str_len=MAX_RECORD_BYTES,
            max_bin_len=MAX_RECORD_BYTES,
            max_array_len=MAX_RECORD_BYTES,
            max_map_len=MAX_RECORD_BYTES,
        )

    def feed(self, piece: bytes) -> Iterator[tuple[object, int]]:
        """Yield each object that is now whole, and the offset at which it ends."""
        try:
            self._unpacker.feed(piece)
            for record in self._unpacker:
                yield record, self._unpacker.tell()
        except (ValueError, msgpack.UnpackException) as error:
            raise MalformedSnapshot(
                f"bytes near {self._unpacker.tell()} are no record of a pinset: "
                f"{str(error) or type(error).__name__}"
            ) from None


def _pin_of(record: object, end: int) -> tuple[bytes, bytes] | None:
    """Return CID and canonical value of a record; None when its key is no CID."""
    key = value = b""
    try:
        # Fields of other names are passed over: Go reads these without ErrorIfNoField.
        for name, item in go_msgpack.read_struct(record, _FIELDS, takes_unknown=True):
            if name == b"k":
                key = go_msgpack.read_raw(item)
            elif name == b"v":
                value = go_msgpack.read_raw(item)
        cid = cid_of_datastore_key(key)
    except InvalidCid:
        return None
    except ValueError as error:
        raise MalformedSnapshot(f"the record that ends at byte {end}: {error}") from None
    try:
        return cid, canonical(value, cid)
    except MalformedPin as error:
        raise MalformedSnapshot(f"the record that ends at byte {end}: {error}") from None
