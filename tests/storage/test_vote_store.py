from __future__ import annotations

import pytest

from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.errors import (
    CorruptLog,
    DiskFull,
    DurabilityLost,
    LocalProtocolError,
    StorageError,
)
from raft_over_libp2p.storage.vote_store import MAX_VOTE_BYTES, VoteStore
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.types import ServerID, Term
from tests.storage.conftest import Disk

RIVAL = ServerID("12D3KooWRival")
COPY_BYTES = 512


def state(term: int, vote: ServerID | None = None) -> HardState:
    return HardState(Term(term), vote)


def open_store(disk: Disk, batch: int = 0) -> VoteStore:
    return VoteStore(disk.fs, disk.root, lambda: batch)


class TestStableStoreContract:
    def test_a_new_one_holds_term_zero_and_no_vote(self, disk: Disk) -> None:
        VoteStore.create(disk.fs, disk.root)
        store = open_store(disk)
        assert state(0) == store.load()
        store.close()

    def test_the_last_save_is_found_again(self, disk: Disk) -> None:
        VoteStore.create(disk.fs, disk.root)
        store = open_store(disk, batch=12)
        for term in range(1, 6):
            store.save(state(term))
            store.save(state(term, RIVAL))
        assert state(5, RIVAL) == store.load()
        store.close()
        store.close()
        again = open_store(disk)
        assert (state(5, RIVAL), 12) == (again.load(), again.durable_batch)
        again.close()

    def test_the_longest_vote_fits(self, disk: Disk) -> None:
        VoteStore.create(disk.fs, disk.root)
        store = open_store(disk)
        longest = ServerID("x" * MAX_VOTE_BYTES)
        store.save(state(2**63, longest))
        store.close()
        assert state(2**63, longest) == open_store(disk).load()

    def test_a_longer_vote_is_refused(self, disk: Disk) -> None:
        VoteStore.create(disk.fs, disk.root)
        store = open_store(disk)
        with pytest.raises(LocalProtocolError, match="a vote of 129 bytes"):
            store.save(state(1, ServerID("x" * (MAX_VOTE_BYTES + 1))))
        assert state(0) == store.load()
        store.close()

    def test_a_term_never_goes_back(self, disk: Disk) -> None:
        VoteStore.create(disk.fs, disk.root)
        store = open_store(disk)
        store.save(state(7))
        with pytest.raises(LocalProtocolError, match="term 7 cannot become 6"):
            store.save(state(6))
        store.close()

    def test_a_missing_file_is_named(self, disk: Disk) -> None:
        with pytest.raises(StorageError, match=f"{disk.root}/vote: No such file"):
            open_store(disk)


class TestFaults:
    def setup_method(self) -> None:
        self.fs = FakeFileSystem()
        self.disk = Disk(self.fs, "")
        VoteStore.create(self.fs, "")
        self.store = open_store(self.disk)
        self.store.save(state(1, RIVAL))
        self.store.save(state(2, RIVAL))

    def test_a_save_is_one_pwrite_and_one_fdatasync(self) -> None:
        before = (self.fs.writes, self.fs.syncs, self.fs.directory_syncs)
        self.store.save(state(3))
        after = (self.fs.writes, self.fs.syncs, self.fs.directory_syncs)
        assert (1, 1, 0) == tuple(b - a for a, b in zip(before, after, strict=True))

    @pytest.mark.parametrize("copy", range(4))
    def test_one_damaged_copy_is_healed_by_the_other(self, copy: int) -> None:
        self.fs.flip_bit("/vote", copy * COPY_BYTES + 20)
        assert state(2, RIVAL) == open_store(self.disk).load()

    @pytest.mark.parametrize("slot", range(2))
    def test_a_slot_without_a_whole_copy_refuses_for_it_may_be_the_newer(self, slot: int) -> None:
        offset = slot * 2 * COPY_BYTES
        self.fs.flip_bit("/vote", offset)
        self.fs.flip_bit("/vote", offset + COPY_BYTES)
        with pytest.raises(CorruptLog, match="both copies") as caught:
            open_store(self.disk)
        assert ("/vote", offset) == (caught.value.path, caught.value.offset)

    def test_every_flipped_bit_of_a_copy_is_noticed(self) -> None:
        for at in range(COPY_BYTES):
            for start in (0, COPY_BYTES):
                self.fs.flip_bit("/vote", start + at)
            with pytest.raises(CorruptLog, match="both copies"):
                open_store(self.disk)
            for start in (0, COPY_BYTES):
                self.fs.flip_bit("/vote", start + at)

    def test_an_empty_file_refuses(self) -> None:
        self.fs.open_file("/vote").truncate(0)
        with pytest.raises(CorruptLog, match="both copies"):
            open_store(self.disk)

    def test_no_space_leaves_the_older_state_and_may_be_tried_again(self) -> None:
        self.fs.full_writes, self.fs.partial_bytes = {self.fs.writes + 1}, 300
        with pytest.raises(DiskFull):
            self.store.save(state(3, RIVAL))
        assert state(2, RIVAL) == self.store.load()
        assert state(2, RIVAL) == open_store(self.disk).load()
        self.store.save(state(4))
        assert state(4) == open_store(self.disk).load()

    @pytest.mark.parametrize("fault", ["failing_writes", "failing_syncs"])
    def test_an_io_error_poisons_the_store(self, fault: str) -> None:
        count = self.fs.writes if fault == "failing_writes" else self.fs.syncs
        setattr(self.fs, fault, {count + 1})
        with pytest.raises(DurabilityLost):
            self.store.save(state(3))
        with pytest.raises(DurabilityLost, match="not used any more"):
            self.store.save(state(3))
