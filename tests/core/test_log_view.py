from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raft_over_libp2p import limits
from raft_over_libp2p.core.interfaces import SnapshotMeta
from raft_over_libp2p.core.log_view import LogView
from raft_over_libp2p.core.ready import Write
from raft_over_libp2p.types import BatchID, Configuration, Index, LogEntry, Term
from tests.core.logs import MemoryLog, entry


def view_of(*terms: int) -> LogView:
    return LogView(MemoryLog([entry(i, t) for i, t in enumerate(terms, 1)]), None)


def test_an_opened_log_is_durable() -> None:
    view = view_of(1, 1, 2)
    assert (view.first_index, view.last_index, view.durable_index, view.last_term) == (1, 3, 3, 2)
    assert not view.has_unwritten


def test_an_empty_log_ends_at_index_0_in_term_0() -> None:
    view = view_of()
    assert (view.last_index, view.last_term, view.term(Index(0))) == (0, 0, 0)


def test_terms_outside_the_log_are_unknown() -> None:
    assert view_of(1, 1).term(Index(3)) is None


def test_entries_come_from_the_disk_and_then_from_memory() -> None:
    view = view_of(1, 1)
    view.append([entry(3, 2), entry(4, 2)])
    assert [e.index for e in view.entries(Index(1), 10, 10**6)[0]] == [1, 2]
    assert [e.index for e in view.entries(Index(3), 10, 10**6)[0]] == [3, 4]
    assert [e.index for e in view.entries(Index(4), 1, 10**6)[0]] == [4]


def test_entries_are_cut_at_the_bytes_but_one_always_comes() -> None:
    view = view_of()
    view.append([LogEntry(Index(i), Term(1), data=bytes(100)) for i in range(1, 6)])
    size = view.entries(Index(1), 1, 1)[1]
    assert len(view.entries(Index(1), 5, 1)[0]) == 1
    assert len(view.entries(Index(1), 5, 3 * size)[0]) == 3
    assert len(view.entries(Index(2), 5, 3 * size - 1)[0]) == 2
    assert view.entries(Index(2), 5, 3 * size)[1] == 3 * size


def test_a_slice_is_not_remembered_over_a_truncation() -> None:
    view = view_of(1)
    view.append([entry(2, 1), entry(3, 1)])
    view.entries(Index(2), 2, 10**6)
    view.truncate(Index(3))
    view.append([entry(3, 2)])
    assert [e.term for e in view.entries(Index(2), 2, 10**6)[0]] == [1, 2]


def test_a_truncation_of_what_was_never_written_needs_no_disk() -> None:
    view = view_of(1)
    view.append([entry(2, 1), entry(3, 1)])
    view.truncate(Index(3))
    assert view.take_unwritten(BatchID(1)).truncate_from is None


def test_a_truncation_reaches_the_disk_once_from_its_lowest_index() -> None:
    view = view_of(1, 1, 1, 1)
    view.truncate(Index(4))
    view.truncate(Index(2))
    view.append([entry(2, 2)])
    change = view.take_unwritten(BatchID(1))
    assert change.truncate_from == 2
    assert [e.term for e in change.append] == [2]
    assert not view.has_unwritten


def test_durable_falls_with_a_truncation_and_rises_with_the_write() -> None:
    view = view_of(1, 1, 1)
    view.truncate(Index(2))
    view.append([entry(2, 2)])
    view.take_unwritten(BatchID(1))
    assert view.durable_index == 1
    view.persisted(BatchID(1))
    assert view.durable_index == 2


def taken(view: LogView, number: int) -> Write:
    change = view.take_unwritten(BatchID(number))
    return Write(
        batch=BatchID(number),
        truncate_from=change.truncate_from,
        append=change.append,
        reset_to=change.reset_to,
        remove_prefix=change.remove_prefix,
    )


def test_the_cache_is_bounded_and_drops_only_durable_entries() -> None:
    disk = MemoryLog()
    view = LogView(disk, None)
    block = bytes(1024 * 1024)
    for number in range(1, 41):
        view.append([LogEntry(Index(number), Term(1), data=block)])
        disk.write(taken(view, number))
    view.persisted(BatchID(5))
    assert [e.index for e in view.entries(Index(6), 40, 10**9)[0]] == list(range(6, 41))
    assert view.undurable_bytes > 35 * len(block)
    view.persisted(BatchID(40))
    assert view.undurable_bytes == 0
    cached = view.entries(Index(40), 1, 10**9)[1] * len(view._recent)
    assert cached <= limits.MAX_LOG_CACHE_BYTES
    assert [e.index for e in view.entries(Index(1), 2, 10**9)[0]] == [1, 2]
    assert view.term(Index(3)) == 1


def test_undurable_bytes_are_the_entries_after_the_durable_one() -> None:
    view = view_of(1)
    view.append([entry(2, 1)])
    view.take_unwritten(BatchID(1))
    view.append([entry(3, 1), entry(4, 1)])
    assert view.undurable_bytes == sum(entry(i, 1).size for i in (2, 3, 4))
    view.persisted(BatchID(1))
    assert view.undurable_bytes == sum(entry(i, 1).size for i in (3, 4))
    view.truncate(Index(4))
    assert view.undurable_bytes == entry(3, 1).size


def test_a_log_behind_a_snapshot_starts_after_it() -> None:
    meta = SnapshotMeta(
        index=Index(10), term=Term(3), configuration=Configuration(), configuration_index=Index(1)
    )
    view = LogView(MemoryLog([], first=11), meta)
    assert (view.first_index, view.last_index, view.last_term) == (11, 10, 3)
    assert view.term(Index(10)) == 3
    assert view.term(Index(9)) is None
    assert not view.has(Index(10))
    view.append([entry(11, 4)])
    assert view.has(Index(11))


@given(st.lists(st.integers(1, 4), max_size=12), st.integers(0, 5), st.integers(0, 14))
def test_the_hint_is_the_last_index_before_whose_term_is_not_larger(steps, term, before) -> None:
    terms = sorted(steps)
    naive = max((i for i, t in enumerate(terms, 1) if i < before and t <= term), default=0)
    assert view_of(*terms).last_with_term_at_most(Term(term), Index(before)) == naive


class Model:
    """The disk, the memory and the writes between them, told naively."""

    def __init__(self) -> None:
        self.disk = MemoryLog()
        self.view = LogView(self.disk, None)
        self.memory: dict[int, LogEntry] = {}
        self.writes: list[Write] = []
        self.batch = 0

    def do(self, step: str, number: int, term: int) -> None:
        view = self.view
        if step == "append" and number:
            new = [entry(view.last_index + 1 + i, term) for i in range(number)]
            view.append(new)
            self.memory.update({e.index: e for e in new})
        elif step == "truncate" and number < view.last_index - view.snapshot_index:
            first_removed = view.last_index - number
            view.truncate(Index(first_removed))
            self.memory = {i: e for i, e in self.memory.items() if i < first_removed}
        elif step == "snapshot":
            index = Index(view.durable_index - number)
            if index > view.snapshot_index:
                view.cover(index, self.memory[index].term)
        elif step == "compact":
            upto = Index(min(view.snapshot_index - number, view.durable_index))
            if upto >= view.first_index:
                view.remove_prefix(upto)
                self.memory = {i: e for i, e in self.memory.items() if i > upto}
        elif step == "reset":
            index = max(view.snapshot_index + 1, view.last_index + number - 3)
            view.reset(Index(index), Term(term))
            self.memory.clear()
        elif step == "write" and view.has_unwritten:
            self.batch += 1
            self.writes.append(taken(view, self.batch))
        elif step == "persist" and self.writes:
            write = self.writes.pop(0)
            self.disk.write(write)
            view.persisted(write.batch)

    def check(self) -> None:
        view = self.view
        held = range(view.first_index, view.last_index + 1)
        assert list(self.memory) == list(held)
        assert [view.term(Index(i)) for i in held] == [e.term for e in self.memory.values()]
        safe = [i for i in held if view.snapshot_index < i <= view.durable_index]
        on_disk = {e.index: e for e in self.disk.kept}
        assert [on_disk[Index(i)] for i in safe] == [self.memory[i] for i in safe]


STEPS = ["append", "append", "truncate", "snapshot", "compact", "reset", "write", "persist"]


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 5)), max_size=40))
def test_what_is_called_durable_is_on_the_disk_or_in_a_snapshot(steps) -> None:
    """Rules 8 and 12, for any order of changes, writes and completions."""
    model = Model()
    for term, (step, number) in enumerate(steps, 1):
        model.do(step, number, term)
        model.check()
    for _ in range(len(model.writes) + 1):
        model.do("persist", 0, 0)
    model.do("write", 0, 0)
    model.do("persist", 0, 0)
    model.check()
    assert model.view.durable_index == model.view.last_index
    assert model.disk.kept == list(model.memory.values())
