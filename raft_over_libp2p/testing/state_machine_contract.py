"""What every state machine and every codec must do (``raft.state_machine``), as checks to run.

::

    def test_my_counter() -> None:
        check_state_machine(Counter, [1, 5, -3, 5], codec=CounterCodec())

Give operations that touch everything: each kind, some that cannot be applied, the same one
twice. The checks divide them in ways that ``seed`` picks. What differs only between processes
cannot be seen here: the order of a ``set`` of texts, ``hash``, ``id``, the environment.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

from raft_over_libp2p import limits
from raft_over_libp2p.raft.state_machine import OpCodec, StateMachine
from raft_over_libp2p.testing.contract import ContractBroken

__all__ = ["check_codec", "check_state_machine"]

Op = TypeVar("Op")
Result = TypeVar("Result")
Image = TypeVar("Image")

_ROUNDS: Final = 8
"""Divisions of the operations that are tried."""
_DAMAGES: Final = 64
"""Bit flips and cuts that bytes are tried with."""
_OTHER_FORMS: Final = (
    b"", b"\x00", b"\xff", b"null", b"0", b'"text"', b"[]", b"[0]", b"{}", b'{"key":[]}',
    b"\xc0", b"\x90", b"\x80", b"\x81\xa3key\xc0",
)  # fmt: skip
"""Whole values in JSON and msgpack that are hardly what was meant."""


def check_state_machine(
    make: Callable[[], StateMachine[Op, Result, Image]],
    ops: Sequence[Op],
    *,
    codec: OpCodec[Op] | None = None,
    seed: int = 0,
) -> None:
    """Check that the machines that ``make`` gives keep the contract of ``StateMachine``.

    Two states are equal when their snapshots have the same bytes: write them in one order.
    With ``codec`` it is checked too, and operations are applied as they come out of it, as
    they do on every server.

    Raises:
        ContractBroken: names the promise and the difference.

    """
    if codec is not None:
        check_codec(codec, ops, seed=seed)
        _check_unchanged(codec, make, ops)
        ops = [codec.decode(codec.encode(op)) for op in ops]
    contract = _Contract(make, ops, random.Random(seed))  # noqa: S311 - seeded dice are the point
    contract.is_deterministic()
    for _ in range(_ROUNDS):
        contract.ignores_batches()
        contract.restores_what_it_kept()
        contract.keeps_a_snapshot_as_it_was()
    contract.refuses_what_is_no_snapshot()


def check_codec(codec: OpCodec[Op], ops: Sequence[Op], *, seed: int = 0) -> None:
    """Check that ``codec`` gives back what it took, and refuses damage by ``ValueError`` only.

    Operations are compared by ``==``.

    Raises:
        ContractBroken: names the promise and the operation.

    """
    dice = random.Random(seed)  # noqa: S311
    for op in ops:
        data = codec.encode(op)
        if len(data) > limits.MAX_ENTRY_DATA_BYTES:
            raise ContractBroken(
                f"{op!r} has {len(data)} bytes, and an entry takes {limits.MAX_ENTRY_DATA_BYTES}"
            )
        back = codec.decode(data)
        if back != op:
            raise ContractBroken(f"{op!r} comes back as {back!r}")
        if codec.encode(back) != data:
            raise ContractBroken(f"{op!r} that came back is encoded to other bytes than before")
        for damaged in _damaged(data, dice):
            _only_value_errors(f"decode({damaged!r})", partial(codec.decode, damaged))


class _Contract(Generic[Op, Result, Image]):
    """The promises of ``StateMachine``, asked of some operations."""

    def __init__(
        self,
        make: Callable[[], StateMachine[Op, Result, Image]],
        ops: Sequence[Op],
        dice: random.Random,
    ) -> None:
        self._make = make
        self._ops = list(ops)
        self._dice = dice
        machine = make()
        self._results = self._applied(machine, self._ops)
        self._state = _state(machine)

    def _applied(self, machine: StateMachine[Op, Result, Image], ops: Sequence[Op]) -> list[Result]:
        results = list(machine.apply(ops))
        if len(results) != len(ops):
            raise ContractBroken(f"{len(ops)} operations gave {len(results)} results")
        return results

    def _cut(self) -> int:
        return self._dice.randint(0, len(self._ops))

    def is_deterministic(self) -> None:
        """Ask for the same results and state again."""
        machine = self._make()
        results = self._applied(machine, self._ops)
        _equal("the same operations gave other results", self._results, results)
        _equal("the same operations made another state", self._state, _state(machine))

    def ignores_batches(self) -> None:
        """Ask for the same when the operations come in other batches."""
        machine = self._make()
        results: list[Result] = []
        rest = list(self._ops)
        while rest:
            size = self._dice.choice([1, 1, 2, len(rest)])
            results += self._applied(machine, rest[:size])
            del rest[:size]
        _equal("other batches gave other results", self._results, results)
        _equal("other batches made another state", self._state, _state(machine))

    def restores_what_it_kept(self) -> None:
        """Ask a machine with a past to become another one by its snapshot, and to go on as it."""
        cut = self._cut()
        source = self._make()
        self._applied(source, self._ops[:cut])
        kept = _state(source)
        machine = self._make()
        self._applied(machine, self._ops[: self._cut()])
        before = _state(machine)
        try:
            image = machine.restore(_chunks(kept, self._dice))
        except Exception as error:
            raise ContractBroken(
                f"a snapshot is not restored ({error!r}); its bytes come in other chunks than "
                "they were written in"
            ) from error
        _equal("restore changed the state, which only adopt may", before, _state(machine))
        machine.adopt(image)
        _equal("an adopted snapshot is another state than the one kept", kept, _state(machine))
        results = self._applied(machine, self._ops[cut:])
        _equal("a restored state gave other results", self._results[cut:], results)
        _equal("a restored state became another one", self._state, _state(machine))

    def keeps_a_snapshot_as_it_was(self) -> None:
        """Ask that what is applied while a snapshot is written does not get into it."""
        cut = self._cut()
        machine = self._make()
        self._applied(machine, self._ops[:cut])
        expected = _state(machine)
        chunks = machine.snapshot()
        self._applied(machine, self._ops[cut:])
        _equal("what was applied later is in the snapshot", expected, b"".join(chunks))

    def refuses_what_is_no_snapshot(self) -> None:
        """Ask that ``restore`` raises nothing but ``ValueError``, and changes nothing."""
        machine = self._make()
        self._applied(machine, self._ops)
        for damaged in _damaged(self._state, self._dice):
            restore = partial(machine.restore, _chunks(damaged, self._dice))
            _only_value_errors("restore of a damaged snapshot", restore)
        _equal("restore changed the state", self._state, _state(machine))


def _check_unchanged(
    codec: OpCodec[Op], make: Callable[[], StateMachine[Op, Result, Image]], ops: Sequence[Op]
) -> None:
    """Ask that operations are as before when they were applied: a proposer may hold them still."""
    before = [codec.encode(op) for op in ops]
    applied = [codec.decode(data) for data in before]
    make().apply(applied)
    _equal("applying changed an operation", before, [codec.encode(op) for op in applied])


def _state(machine: StateMachine[Op, Result, Image]) -> bytes:
    return b"".join(machine.snapshot())


def _chunks(data: bytes, dice: random.Random) -> Iterator[bytes]:
    """Yield ``data`` in pieces that are not those it was written in: they are read by size."""
    start = 0
    while start < len(data):
        size = dice.choice([1, 2, 3, 64, len(data)])
        yield data[start : start + size]
        start += size


def _damaged(data: bytes, dice: random.Random) -> Iterator[bytes]:
    """Yield forms that a faulty disk or another program might give."""
    yield from _OTHER_FORMS
    yield data + b"\x00"
    for _ in range(_DAMAGES if data else 0):
        place = dice.randrange(len(data))
        yield data[:place]
        yield data[:place] + bytes([data[place] ^ (1 << dice.randrange(8))]) + data[place + 1 :]


def _only_value_errors(what: str, call: Callable[[], object]) -> None:
    try:
        call()
    except ValueError:
        return
    except Exception as error:
        raise ContractBroken(f"{what} raised {error!r}; only a ValueError may come out") from error


def _equal(what: str, expected: object, found: object) -> None:
    if expected != found:
        raise ContractBroken(f"{what}: expected {expected!r}, found {found!r}")
