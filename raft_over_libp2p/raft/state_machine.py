"""A state machine over operations of a type of yours, and how they stand in log entries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from raft_over_libp2p.errors import LocalProtocolError
from raft_over_libp2p.types import LogEntry

__all__ = ["BytesCodec", "DecodingFSM", "OpCodec", "StateMachine"]

Op = TypeVar("Op")
Result = TypeVar("Result")
Image = TypeVar("Image")
Op_contra = TypeVar("Op_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)


class OpCodec(Protocol[Op]):
    """How an operation stands in a log entry."""

    def encode(self, op: Op) -> bytes:
        """Return ``op`` as bytes: what every server, of every version, decodes to an equal one."""
        ...

    def decode(self, data: bytes) -> Op:
        """Return the operation in ``data``, decoded onto a fresh object.

        Raises:
            ValueError: ``data`` is no operation.

        """
        ...


class StateMachine(Protocol[Op_contra, Result_co, Image]):
    """A deterministic state that operations change (Raft paper, section 2).

    The same operations in the same order make the same state and the same results on every
    server, however they are divided into batches: no clock, no dice, nothing from outside.

    ``apply``, ``snapshot`` and ``adopt`` are called on the trio thread and must not block;
    they should take well below 50 ms. ``restore``, and the iterator that ``snapshot``
    returns, run in another thread while operations go on being applied: they must not look
    at anything that ``apply`` changes. ``testing.check_state_machine`` looks for breaches.
    """

    def apply(self, ops: Sequence[Op_contra]) -> Sequence[Result_co]:
        """Apply ``ops`` in order and return one result for each.

        An operation that cannot be applied gets a result that says so. Whatever this raises
        stops the server, and then every other one.
        """
        ...

    def snapshot(self) -> Iterator[bytes]:
        """Return the state as it is now, in chunks (64 KiB or more each, but the last).

        Raises:
            ValueError: there is no state to keep now; no snapshot is taken.

        """
        ...

    def restore(self, chunks: Iterable[bytes]) -> Image:
        """Return a state made of a snapshot's ``chunks``, without taking it on yet.

        Raises:
            ValueError: they are no snapshot.

        """
        ...

    def adopt(self, image: Image) -> None:
        """Let what ``restore`` returned take the place of the whole state."""
        ...


class BytesCodec:
    """Operations that are bytes already."""

    def encode(self, op: bytes) -> bytes:
        return op

    def decode(self, data: bytes) -> bytes:
        return data


class DecodingFSM(Generic[Op, Result, Image]):
    """Drives a ``StateMachine`` with what a codec makes of entries."""

    def __init__(self, machine: StateMachine[Op, Result, Image], codec: OpCodec[Op]) -> None:
        self._machine = machine
        self._decode = codec.decode
        self.snapshot = machine.snapshot
        self.restore = machine.restore
        self.adopt = machine.adopt

    def apply(self, entries: Sequence[LogEntry]) -> Sequence[Result]:
        """Decode and apply ``entries``.

        Raises:
            LocalProtocolError: an entry does not decode, or the results are not one for each.
                This ends the server: to pass over an entry that another version of the
                program understood would make this state differ from the others.

        """
        ops = []
        for entry in entries:
            try:
                ops.append(self._decode(entry.data))
            except ValueError as error:
                raise LocalProtocolError(
                    f"entry {entry.index} does not decode ({error}), so this server stops before "
                    "it; start a version of the program that knows it"
                ) from error
        results = self._machine.apply(ops)
        if len(results) != len(ops):
            raise LocalProtocolError(
                f"the state machine gave {len(results)} results for {len(ops)} operations; "
                "apply must return one for each"
            )
        return results
