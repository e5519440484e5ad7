"""What every log, vote and snapshot store must do (``storage.interface``), as checks to run.

For embedders who bring stores of their own::

    def test_my_log() -> None:
        check_log_store(lambda: MyLog(fresh_table()), reopen=lambda log: MyLog(log.table))

``make`` returns a new, empty store each time. ``reopen`` is given one and returns it as a
restarted program would find it; without it, that nothing is lost over a restart is not asked.
What a crash or a full disk leaves cannot be asked from here: test it with a disk that fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from raft_over_libp2p.core.interfaces import SnapshotMeta
from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.errors import LocalProtocolError, RaftError, StorageError
from raft_over_libp2p.storage.interface import (
    LogStore,
    SnapshotInfo,
    SnapshotStore,
    StableStore,
)
from raft_over_libp2p.testing.contract import ContractBroken
from raft_over_libp2p.types import (
    CONFIGURATION_TYPES,
    NO_TERM,
    Configuration,
    Index,
    LogEntry,
    LogType,
    ServerID,
    Term,
)
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from raft_over_libp2p.wire.log_entry import encode_entry

__all__ = [
    "LOG_STORE_CHECKS",
    "SNAPSHOT_STORE_CHECKS",
    "STABLE_STORE_CHECKS",
    "check_log_store",
    "check_snapshot_store",
    "check_stable_store",
]

LogT = TypeVar("LogT", bound=LogStore)
StableT = TypeVar("StableT", bound=StableStore)
SnapshotsT = TypeVar("SnapshotsT", bound=SnapshotStore)

_ALL: Final = 1 << 30
_MEMBERS: Final = Configuration.of_voters(ServerID("a"), ServerID("b"))


def check_log_store(
    make: Callable[[], LogT], reopen: Callable[[LogT], LogStore] = lambda log: log
) -> None:
    """Run every check of a ``LogStore``.

    Raises:
        ContractBroken: names the check and the difference.

    """
    for check in LOG_STORE_CHECKS.values():
        log = make()
        check(log, partial(reopen, log))


def check_stable_store(
    make: Callable[[], StableT], reopen: Callable[[StableT], StableStore] = lambda stable: stable
) -> None:
    """Run every check of a ``StableStore``; errors as :func:`check_log_store`."""
    for check in STABLE_STORE_CHECKS.values():
        stable = make()
        check(stable, partial(reopen, stable))


def check_snapshot_store(
    make: Callable[[], SnapshotsT],
    reopen: Callable[[SnapshotsT], SnapshotStore] = lambda snapshots: snapshots,
) -> None:
    """Run every check of a ``SnapshotStore``, which must retain at least two snapshots."""
    for check in SNAPSHOT_STORE_CHECKS.values():
        snapshots = make()
        check(snapshots, partial(reopen, snapshots))


# -- what the checks are made of


def _equal(what: str, expected: object, found: object) -> None:
    if expected != found:
        raise ContractBroken(f"{what}: expected {expected!r}, found {found!r}")


def _refused(what: str, error_type: type[RaftError], call: Callable[[], object]) -> None:
    try:
        call()
    except error_type:
        return
    raise ContractBroken(f"{what}: expected {error_type.__name__}, and it was done")


def _entry(index: int, term: int = 1, kind: LogType = LogType.COMMAND) -> LogEntry:
    data = b"entry %d of %d" % (index, term)
    if kind in CONFIGURATION_TYPES:
        data = GoConfigurationCodec().encode(_MEMBERS)
    made = LogEntry(Index(index), Term(term), kind, data, b"extensions")
    encode_entry(made)
    return made


def _entries(first: int, last: int, term: int = 1) -> list[LogEntry]:
    return [_entry(index, term) for index in range(first, last + 1)]


def _holds(what: str, log: LogStore, expected: Sequence[LogEntry], first: int = 1) -> None:
    """Compare the whole log, through each way of asking."""
    bounds = (log.first_index(), log.last_index())
    _equal(f"{what}, first and last index", (first, first + len(expected) - 1), bounds)
    found = list(log.entries(*bounds, _ALL))
    _equal(f"{what}, entries", list(expected), found)
    _equal(f"{what}, encoded", [e.encoded for e in expected], [e.encoded for e in found])
    _equal(f"{what}, terms", [e.term for e in expected], [log.term(e.index) for e in expected])


# -- the log


def _log_begins_empty(log: LogStore, reopen: Callable[[], LogStore]) -> None:
    _holds("a new log", log, [])
    _equal("configurations of a new log", (), log.configuration_entries())
    _holds("an empty log opened again", reopen(), [])


def _log_reads_what_was_written(log: LogStore, reopen: Callable[[], LogStore]) -> None:
    log.write(None, _entries(1, 3))
    log.write(None, _entries(4, 5, term=7))
    expected = _entries(1, 3) + _entries(4, 5, term=7)
    _holds("two writes", log, expected)
    _equal("a part of it", expected[1:4], list(log.entries(Index(2), Index(4), _ALL)))
    _equal("no entries", [], list(log.entries(Index(4), Index(3), _ALL)))
    _holds("two writes, opened again", reopen(), expected)


def _log_cuts_at_max_bytes(log: LogStore, _reopen: Callable[[], LogStore]) -> None:
    made = _entries(1, 9)
    log.write(None, made)
    size = len(made[0].encoded or b"")
    limits = (0, size, 2 * size + 1, _ALL)
    counts = [len(log.entries(Index(2), Index(9), limit)) for limit in limits]
    _equal("entries within max_bytes, at least one", [1, 1, 2, 8], counts)


def _log_replaces_a_suffix(log: LogStore, reopen: Callable[[], LogStore]) -> None:
    log.write(None, _entries(1, 10))
    log.write(Index(4), _entries(4, 5, term=2))
    _holds("a suffix replaced", log, _entries(1, 3) + _entries(4, 5, term=2))
    log.write(Index(3), ())
    _holds("a suffix removed", log, _entries(1, 2))
    log.write(Index(3), ())
    _holds("truncated behind its end", log, _entries(1, 2))
    log.write(Index(1), ())
    log.write(None, _entries(1, 2, term=3))
    _holds("all of it replaced, opened again", reopen(), _entries(1, 2, term=3))


def _log_refuses_holes(log: LogStore, _reopen: Callable[[], LogStore]) -> None:
    log.write(None, _entries(1, 3))
    for place in (0, 5):
        what = f"a log to 3 truncated from {place}"
        _refused(what, LocalProtocolError, partial(log.write, Index(place), ()))
    _refused("entry 5 behind 3", LocalProtocolError, lambda: log.write(None, [_entry(5)]))
    bare = LogEntry(Index(4), Term(1))
    _refused("an entry without encoded", LocalProtocolError, lambda: log.write(None, [bare]))
    _holds("after what was refused", log, _entries(1, 3))


def _log_refuses_to_read_what_it_lacks(log: LogStore, _reopen: Callable[[], LogStore]) -> None:
    log.write(None, _entries(1, 3))
    for index in (Index(0), Index(4)):
        _refused(f"term of {index}", LocalProtocolError, partial(log.term, index))
        _refused(f"place of {index}", LocalProtocolError, partial(log.place, index))
        _refused(f"entry {index}", LocalProtocolError, partial(log.entries, index, index, _ALL))


def _log_lists_configurations(log: LogStore, reopen: Callable[[], LogStore]) -> None:
    made = _entries(1, 9)
    for index, kind in zip((1, 4, 8), CONFIGURATION_TYPES, strict=True):
        made[index - 1] = _entry(index, kind=kind)
    log.write(None, made)
    _equal("configurations", (made[0], made[3], made[7]), log.configuration_entries())
    log.write(Index(8), ())
    _equal("without the truncated one", (made[0], made[3]), log.configuration_entries())
    again = reopen()
    _equal("opened again", (made[0], made[3]), again.configuration_entries())
    again.reset(Index(20))
    _equal("configurations of an empty log", (), again.configuration_entries())


def _log_removes_a_prefix(log: LogStore, reopen: Callable[[], LogStore]) -> None:
    made = _entries(1, 9)
    log.write(None, made)
    upto = Index(4)
    first = log.remove_prefix(upto)
    if not 1 <= first <= upto + 1:
        raise ContractBroken(f"entries to 4 may go: expected to begin at 1 to 5, found {first}")
    _holds("behind what was removed", log, made[first - 1 :], first)
    again = reopen()
    # Some of the removed may come back, and none of the others may go.
    begins = again.first_index()
    if begins > first:
        raise ContractBroken(f"opened again: expected to begin at {first}, found {begins}")
    _holds("opened again", again, made[begins - 1 :], begins)


def _log_is_reset(log: LogStore, reopen: Callable[[], LogStore]) -> None:
    log.write(None, _entries(1, 10))
    log.reset(Index(5))
    _holds("reset to 5", log, [], first=5)
    log.reset(Index(21))
    _holds("reset to 21", log, [], first=21)
    _refused("a write before 21", LocalProtocolError, lambda: log.write(Index(20), ()))
    _refused("a log from 0 on", LocalProtocolError, lambda: log.reset(Index(0)))
    log.write(None, _entries(21, 23, term=4))
    _holds("written to after a reset, opened again", reopen(), _entries(21, 23, term=4), first=21)


def _log_is_closed_twice(log: LogStore, _reopen: Callable[[], LogStore]) -> None:
    log.close()
    log.close()


LOG_STORE_CHECKS: Final[Mapping[str, Callable[[LogStore, Callable[[], LogStore]], None]]] = {
    "begins empty": _log_begins_empty,
    "reads what was written": _log_reads_what_was_written,
    "cuts at max_bytes": _log_cuts_at_max_bytes,
    "replaces a suffix": _log_replaces_a_suffix,
    "refuses holes": _log_refuses_holes,
    "refuses to read what it lacks": _log_refuses_to_read_what_it_lacks,
    "lists configurations": _log_lists_configurations,
    "removes a prefix": _log_removes_a_prefix,
    "is reset": _log_is_reset,
    "is closed twice": _log_is_closed_twice,
}
"""Each check by name, given a new empty log and how to open it again."""


# -- term and vote


def _stable_begins_at_zero(stable: StableStore, reopen: Callable[[], StableStore]) -> None:
    _equal("a new one", HardState(NO_TERM), stable.load())
    _equal("a new one opened again", HardState(NO_TERM), reopen().load())


def _stable_keeps_the_last(stable: StableStore, reopen: Callable[[], StableStore]) -> None:
    states = [HardState(Term(3), ServerID("a")), HardState(Term(3), ServerID("b" * 52))]
    for state in [*states, HardState(Term(2**40))]:
        stable.save(state)
        _equal("what was saved", state, stable.load())
    stable.save(HardState(Term(2**40), ServerID("c")))
    _equal("opened again", HardState(Term(2**40), ServerID("c")), reopen().load())


def _stable_never_goes_back(stable: StableStore, reopen: Callable[[], StableStore]) -> None:
    state = HardState(Term(5), ServerID("a"))
    stable.save(state)
    _refused("term 4 after 5", LocalProtocolError, lambda: stable.save(HardState(Term(4))))
    _equal("after what was refused", state, stable.load())
    _equal("after what was refused, opened again", state, reopen().load())


def _stable_is_closed_twice(stable: StableStore, _reopen: Callable[[], StableStore]) -> None:
    stable.close()
    stable.close()


STABLE_STORE_CHECKS: Final[
    Mapping[str, Callable[[StableStore, Callable[[], StableStore]], None]]
] = {
    "begins at zero": _stable_begins_at_zero,
    "keeps the last": _stable_keeps_the_last,
    "never goes back": _stable_never_goes_back,
    "is closed twice": _stable_is_closed_twice,
}
"""Each check by name, given a new store and how to open it again."""


# -- snapshots


def _meta(index: int, term: int = 1) -> SnapshotMeta:
    return SnapshotMeta(
        index=Index(index),
        term=Term(term),
        configuration=_MEMBERS,
        configuration_index=Index(1),
    )


def _taken(
    store: SnapshotStore, index: int, term: int = 1, data: bytes = b"state", unix_ms: int = 1000
) -> SnapshotInfo:
    sink = store.create(_meta(index, term), unix_ms)
    sink.write(data)
    return sink.finish()


def _content(store: SnapshotStore, info: SnapshotInfo) -> bytes:
    reader = store.open(info)
    try:
        return b"".join(iter(lambda: reader.read(3), b""))
    finally:
        reader.close()
        reader.close()


def _snapshots_begin_empty(store: SnapshotStore, reopen: Callable[[], SnapshotStore]) -> None:
    for each in (store, reopen()):
        found = (each.list(), each.newest(), each.newest_restorable(), each.skipped)
        _equal("a new store", ((), None, None, ()), found)


def _snapshots_are_read_as_written(
    store: SnapshotStore, reopen: Callable[[], SnapshotStore]
) -> None:
    sink = store.create(_meta(7, 2), 1000)
    for chunk in (b"one ", b"", b"two"):
        sink.write(chunk)
    _equal("bytes written", 7, sink.size_bytes)
    info = sink.finish()
    described = (info.meta, info.size_bytes, info.snapshot_id)
    _equal("its description", (_meta(7, 2), 7, "2-7-1000"), described)
    _equal("its CRC-64", "7c23588b95643238", info.checksum.hex())
    again = reopen()
    _equal("what is listed", ((info,), info), (again.list(), again.newest_restorable()))
    _equal("its bytes", b"one two", _content(again, info))


def _snapshots_unfinished_are_not_seen(
    store: SnapshotStore, reopen: Callable[[], SnapshotStore]
) -> None:
    unfinished, cancelled = store.create(_meta(7), 1000), store.create(_meta(8), 1000)
    unfinished.write(b"half")
    cancelled.cancel()
    cancelled.cancel()
    _equal("while one is written", (), store.list())
    _refused("writing on", LocalProtocolError, lambda: cancelled.write(b"more"))
    _refused("finishing it", LocalProtocolError, cancelled.finish)
    _equal("opened again", (), reopen().list())


def _snapshots_are_read_back(store: SnapshotStore, _reopen: Callable[[], SnapshotStore]) -> None:
    finished, cancelled = store.create(_meta(7), 1000), store.create(_meta(8), 1000)
    finished.write(b"kept")
    cancelled.write(b"gone")
    finished.seal()
    _refused("writing to what is sealed", LocalProtocolError, lambda: finished.write(b"more"))
    readers = (finished.read_back(), cancelled.read_back())
    _equal("while they are read", (), store.list())
    finished.finish()
    cancelled.cancel()
    sizes = tuple(reader.size_bytes for reader in readers)
    found = tuple(reader.read(100) for reader in readers)
    for reader in readers:
        reader.close()
    _equal("read back", ((4, 4), (b"kept", b"gone")), (sizes, found))
    _equal("what is listed", [7], [info.meta.index for info in store.list()])


def _snapshots_have_names_of_their_own(
    store: SnapshotStore, _reopen: Callable[[], SnapshotStore]
) -> None:
    first, second = store.create(_meta(7), 1000), store.create(_meta(7), 1000)
    first.write(b"first")
    second.write(b"second")
    infos = (second.finish(), first.finish())
    _equal("their names", ["1-7-1001", "1-7-1000"], [info.snapshot_id for info in infos])
    _equal("their bytes", [b"second", b"first"], [_content(store, info) for info in infos])
    first.cancel()
    _equal("cancelled after its end", 2, len(store.list()))


def _snapshots_are_listed_newest_first(
    store: SnapshotStore, _reopen: Callable[[], SnapshotStore]
) -> None:
    old = _taken(store, 50, term=1)
    new = _taken(store, 9, term=2)
    _equal("by term, then index", (new, old), store.list()[:2])
    newer = _taken(store, 10, term=2)
    _equal("the newest", (newer, newer), (store.newest(), store.newest_restorable()))
    one_for_a_lower_index = _taken(store, 3, term=1)
    if one_for_a_lower_index not in store.list():
        raise ContractBroken("a snapshot must not be removed by its own finish")


def _snapshots_removed_are_gone(store: SnapshotStore, reopen: Callable[[], SnapshotStore]) -> None:
    old, new = _taken(store, 7, data=b"old"), _taken(store, 8)
    reader = store.open(old)
    store.remove(old)
    _equal("one that is being read", b"old", reader.read(100))
    reader.close()
    _refused("opening one that is gone", StorageError, lambda: store.open(old))
    _equal("opened again", (new,), reopen().list())


SNAPSHOT_STORE_CHECKS: Final[
    Mapping[str, Callable[[SnapshotStore, Callable[[], SnapshotStore]], None]]
] = {
    "begin empty": _snapshots_begin_empty,
    "are read as written": _snapshots_are_read_as_written,
    "unfinished are not seen": _snapshots_unfinished_are_not_seen,
    "are read back": _snapshots_are_read_back,
    "have names of their own": _snapshots_have_names_of_their_own,
    "are listed newest first": _snapshots_are_listed_newest_first,
    "removed are gone": _snapshots_removed_are_gone,
}
"""Each check by name, given a new store and how to open it again."""
