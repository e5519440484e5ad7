"""Any sequence of calls, restarts, faults and crashes, compared with a plain list."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from raft_over_libp2p.errors import DiskFull, DurabilityLost
from raft_over_libp2p.storage.log_store import SegmentedLog
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.types import Index, LogEntry
from tests.storage.entries import entries

ALL = 1 << 30


class LogMachine(RuleBasedStateMachine):
    """``model`` holds entry ``first`` and those after it."""

    @initialize()
    def start(self) -> None:
        self.fs = FakeFileSystem()
        self.fs.mkdir("/log")
        self.fs.sync_directory("/")
        self.model: list[LogEntry] = []
        self.first = 1
        self.term = 1
        self.open()

    def open(self) -> None:
        self.log = SegmentedLog(self.fs, "/log", bytes(16), segment_bytes=512)

    def made(self, first: int, count: int, size: int) -> list[LogEntry]:
        self.term += 1
        return entries(first, first + count - 1, self.term, size)

    @property
    def next_index(self) -> int:
        return self.first + len(self.model)

    @rule(count=st.integers(0, 5), size=st.integers(0, 120))
    def append(self, count: int, size: int) -> None:
        new = self.made(self.next_index, count, size)
        self.log.write(None, new)
        self.model += new

    @rule(data=st.data(), count=st.integers(0, 4), size=st.integers(0, 120))
    def replace(self, data: st.DataObject, count: int, size: int) -> None:
        start = data.draw(st.integers(self.first, self.next_index))
        new = self.made(start, count, size)
        self.log.write(Index(start), new)
        self.model[start - self.first :] = new

    @rule(data=st.data())
    def remove_prefix(self, data: st.DataObject) -> None:
        upto = data.draw(st.integers(self.first - 1, self.next_index - 1))
        first = self.log.remove_prefix(Index(upto))
        assert self.first <= first <= upto + 1
        del self.model[: first - self.first]
        self.first = first

    @rule(next_index=st.integers(1, 60))
    def reset(self, next_index: int) -> None:
        self.log.reset(Index(next_index))
        self.model, self.first = [], next_index

    @rule(next_index=st.integers(1, 60), partial=st.integers(0, 45))
    def run_out_of_space_in_a_reset(self, next_index: int, partial: int) -> None:
        self.fs.full_writes, self.fs.partial_bytes = {self.fs.writes + 1}, partial
        try:
            self.log.reset(Index(next_index))
        except DiskFull:
            return
        # The first write cleared the remains of an earlier attempt, or made a segment.
        raise AssertionError("the write found space")

    @rule(count=st.integers(1, 4), partial=st.integers(0, 600))
    def run_out_of_space(self, count: int, partial: int) -> None:
        self.fs.full_writes, self.fs.partial_bytes = {self.fs.writes + 1}, partial
        try:
            self.log.write(None, self.made(self.next_index, count, 60))
        except DiskFull:
            return
        raise AssertionError("the write found space")

    @rule()
    def restart(self) -> None:
        self.log.close()
        self.open()

    @rule(seed=st.integers(0, 2**32), count=st.integers(1, 4))
    def lose_power_after_a_failed_sync(self, seed: int, count: int) -> None:
        self.fs.failing_syncs = {self.fs.syncs + 1}
        new = self.made(self.next_index, count, 60)
        try:
            self.log.write(None, new)
        except DurabilityLost:
            pass
        else:
            raise AssertionError("the sync succeeded")
        self.open()
        seen = list(self.log.entries(self.log.first_index(), self.log.last_index(), ALL))
        assert seen in (self.model, self.model + new)
        self.model = seen
        self.fs = self.fs.crash(random.Random(seed))
        self.open()

    @rule(seed=st.integers(0, 2**32))
    def lose_power(self, seed: int) -> None:
        self.fs = self.fs.crash(random.Random(seed))
        self.open()

    @rule(data=st.data(), max_bytes=st.integers(0, 500))
    @precondition(lambda self: bool(self.model))
    def read(self, data: st.DataObject, max_bytes: int) -> None:
        low = data.draw(st.integers(self.first, self.next_index - 1))
        found = list(self.log.entries(Index(low), Index(self.next_index - 1), max_bytes))
        assert self.model[low - self.first :][: len(found)] == found
        sizes = [len(each.encoded or b"") for each in found]
        assert len(found) == 1 or sum(sizes) <= max_bytes

    @invariant()
    def it_holds_what_the_model_holds(self) -> None:
        assert (self.first, self.next_index - 1) == (self.log.first_index(), self.log.last_index())
        assert [each.term for each in self.model] == [
            self.log.term(each.index) for each in self.model
        ]
        assert self.model == list(
            self.log.entries(self.log.first_index(), self.log.last_index(), ALL)
        )


LogMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestLogMachine = LogMachine.TestCase
