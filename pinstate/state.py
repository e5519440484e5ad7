"""What peers agree on: an immutable set of pins."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import immutables

from pinstate.limits import SNAPSHOT_CHUNK_BYTES
from pinstate.log_op import LogOp, LogOpType
from pinstate.pin import Pin
from pinstate.pin_protobuf import decode_pin, encode_pin
from pinstate.snapshot import read_records, read_rollback, write_records

__all__ = ["PinState"]


class PinState:
    """An immutable map from CID to pin. Every change makes a new state that shares the rest.

    A reference to one is a snapshot: it costs nothing and stays valid while newer states are
    made. Each pin is held in its protobuf form, which is what snapshots hold: times have whole
    seconds, user allocations are lost (see :mod:`pinstate.pin_protobuf`).
    """

    __slots__ = ("_digest", "_pins")
    _pins: immutables.Map[bytes, bytes]
    _digest: str | None

    def __init__(self, pins: Iterable[Pin] = ()) -> None:
        self._pins = _with_pins(immutables.Map(), ((pin.cid, encode_pin(pin)) for pin in pins))
        self._digest = None

    def apply(self, ops: Sequence[LogOp]) -> PinState:
        """Return the state after ``ops``, in order.

        Operations on peers, of unknown types, and on the undefined CID leave it as it is.

        Raises:
            UnstorablePin: one of the pins cannot be stored; this state is unchanged. Apply the
                operations one by one to learn which: Go's peers keep the others, and mark
                their state inconsistent.

        """
        with self._pins.mutate() as pins:
            for op in ops:
                cid = op.subject.cid
                if op.type == LogOpType.PIN:
                    value = encode_pin(op.subject)
                    if cid:
                        pins[cid] = value
                elif op.type == LogOpType.UNPIN:
                    pins.pop(cid, None)
            after = pins.finish()
        return _state_of(after)

    def get(self, cid: bytes) -> Pin | None:
        """Return the pin of ``cid``, None when there is none."""
        value = self._pins.get(cid)
        return None if value is None else decode_pin(value, cid)

    def list(self) -> Iterator[Pin]:
        """Yield all pins in the order of their CID bytes."""
        for cid in sorted(self._pins):
            yield decode_pin(self._pins[cid], cid)

    def digest(self) -> str:
        """Return a SHA2-256, in hex, that is equal for equal pinsets and only for them.

        It is taken over CID and protobuf of each pin, in the order of the CIDs, each preceded
        by its length (8 bytes, big endian).
        """
        if self._digest is None:
            digest = hashlib.sha256()
            for cid in sorted(self._pins):
                for part in (cid, self._pins[cid]):
                    digest.update(len(part).to_bytes(8, "big"))
                    digest.update(part)
            self._digest = digest.hexdigest()
        return self._digest

    def merge(self, payload: bytes) -> PinState:
        """Return the state with the pins of a rollback entry added, none removed, as Go does.

        An empty payload changes nothing.

        Raises:
            MalformedSnapshot: not such an entry; this state is unchanged.

        """
        return _state_of(_with_pins(self._pins, read_rollback(payload)))

    def snapshot_chunks(self, chunk_bytes: int = SNAPSHOT_CHUNK_BYTES) -> Iterator[bytes]:
        """Yield this state as the bytes of a Go snapshot (``state.bin``), in no fixed order."""
        return write_records(self._pins.items(), chunk_bytes)

    def restore(self, chunks: Iterable[bytes]) -> PinState:
        """Return the state that a snapshot holds, in place of this one.

        Raises:
            MalformedSnapshot: the bytes are no snapshot; this state is unchanged.

        """
        return _state_of(_with_pins(immutables.Map(), read_records(chunks)))

    def __contains__(self, cid: object) -> bool:
        return cid in self._pins

    def __len__(self) -> int:
        return len(self._pins)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PinState) and self._pins == other._pins

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"PinState({len(self)} pins)"


def _with_pins(
    pins: immutables.Map[bytes, bytes], more: Iterable[tuple[bytes, bytes]]
) -> immutables.Map[bytes, bytes]:
    """Return ``pins`` with ``more``, whose iteration may raise.

    Not by ``Map(more)``: with the C code of immutables 0.21 that corrupted the heap, and damaged
    snapshots ended the process (docs/testing.md, track record). Its Python code did not, nor
    does this.
    """
    changing = pins.mutate()
    for cid, value in more:
        changing[cid] = value
    return changing.finish()


def _state_of(pins: immutables.Map[bytes, bytes]) -> PinState:
    state = PinState()
    state._pins = pins  # noqa: SLF001 - the other half of the constructor
    return state
