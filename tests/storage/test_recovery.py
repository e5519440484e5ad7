"""What a server starts from: term, vote, snapshot, log; mixed-cluster rule 12."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from raft_over_libp2p.core.interfaces import InitialState
from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.errors import CorruptLog, CorruptSnapshot, StorageError
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.storage.recovery import load_initial_state
from raft_over_libp2p.types import Configuration, Index, LogEntry, LogType, ServerID, Term
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from tests.storage.conftest import Disk
from tests.storage.entries import entries, entry
from tests.storage.snapshots import FIXTURES, meta, put, put_go_folder, take

ME = ServerID("12D3KooWMe")
OTHER = ServerID("12D3KooWOther")
CODEC = GoConfigurationCodec()
MEMBERS = Configuration.of_voters(ME, OTHER)


def open_folder(disk: Disk) -> DataFolder:
    return DataFolder.open(f"{disk.root}/raft", ME, fs=disk.fs, segment_bytes=4096)


def configuration_entry(index: int, term: int) -> LogEntry:
    return entry(index, term, CODEC.encode(MEMBERS), LogType.CONFIGURATION)


@pytest.fixture
def folder(disk: Disk) -> Iterator[DataFolder]:
    with open_folder(disk) as opened:
        opened.stable.save(HardState(Term(5), ME))
        yield opened


def start(folder: DataFolder) -> tuple[InitialState, list[LogEntry]]:
    state = load_initial_state(folder, CODEC)
    log = folder.log
    return state, list(log.entries(log.first_index(), log.last_index(), 1 << 30))


def write_one_by_one(folder: DataFolder, made: Sequence[LogEntry]) -> None:
    for one in made:
        folder.log.write(None, [one])


class TestWithoutSnapshots:
    def test_it_holds_term_vote_and_configurations(self, disk: Disk) -> None:
        with open_folder(disk) as folder:
            folder.bootstrap(MEMBERS, CODEC)
            folder.stable.save(HardState(Term(3), ME))
            folder.log.write(None, [entry(2, 3), configuration_entry(3, 3)])
        with open_folder(disk) as folder:
            state = load_initial_state(folder, CODEC)
        assert HardState(Term(3), ME) == state.hard_state
        assert [1, 3] == [each.index for each in state.configuration_entries]
        assert (None, 0) == (state.snapshot, state.applied_index)

    def test_a_log_of_a_later_term_than_the_vote_file_is_refused(self, folder: DataFolder) -> None:
        folder.log.write(None, [entry(1, 6)])
        with pytest.raises(CorruptLog, match="it says term 5, and the log has term 6"):
            load_initial_state(folder, CODEC)

    def test_a_configuration_that_cannot_be_read_is_named(self, folder: DataFolder) -> None:
        class Unreadable(GoConfigurationCodec):
            def decode(self, data: bytes) -> Configuration:
                return super().decode(data[:3])

        folder.log.write(None, [entry(1), configuration_entry(2, 1)])
        with pytest.raises(CorruptLog, match=r"\.segment .*entry 2: .*cut short"):
            load_initial_state(folder, Unreadable())

    def test_a_log_without_its_beginning_is_refused(self, folder: DataFolder) -> None:
        write_one_by_one(folder, entries(1, 100, size=100))
        first = folder.log.remove_prefix(Index(90))
        with pytest.raises(StorageError, match=f"begins at entry {first} and no snapshot holds"):
            load_initial_state(folder, CODEC)

    def test_a_log_that_was_reset_behind_a_lost_snapshot_is_refused(
        self, folder: DataFolder
    ) -> None:
        folder.log.reset(Index(21))
        with pytest.raises(StorageError, match="begins at entry 21 and no snapshot holds"):
            load_initial_state(folder, CODEC)


class TestWithASnapshot:
    def test_the_snapshot_counts_as_applied(self, folder: DataFolder) -> None:
        folder.log.write(None, entries(1, 5))
        take(folder.snapshots, 3)
        state, _ = start(folder)
        assert (meta(3), 3) == (state.snapshot, state.applied_index)

    def test_a_log_that_has_the_snapshots_entry_is_kept_whole(self, folder: DataFolder) -> None:
        folder.log.write(None, entries(1, 5))
        take(folder.snapshots, 3)
        assert entries(1, 5) == start(folder)[1]

    def test_a_log_that_ends_at_the_snapshot_is_kept(self, folder: DataFolder) -> None:
        folder.log.write(None, entries(1, 3))
        take(folder.snapshots, 3)
        assert entries(1, 3) == start(folder)[1]

    def test_a_log_that_begins_behind_the_snapshot_is_kept(self, folder: DataFolder) -> None:
        take(folder.snapshots, 20, term=2)
        folder.log.reset(Index(21))
        folder.log.write(None, entries(21, 23, term=2))
        assert entries(21, 23, term=2) == start(folder)[1]

    @pytest.mark.parametrize("last", [0, 1, 19])
    def test_a_log_that_ends_before_the_snapshot_is_discarded(
        self, disk: Disk, folder: DataFolder, last: int
    ) -> None:
        folder.log.write(None, [*entries(1, last)])
        take(folder.snapshots, 20)
        assert start(folder)[1] == []
        folder.close()
        with open_folder(disk) as again:
            assert (21, 20) == (again.log.first_index(), again.log.last_index())

    def test_a_log_with_another_term_at_the_snapshot_is_discarded(self, folder: DataFolder) -> None:
        folder.log.write(None, [*entries(1, 3), configuration_entry(4, 1), *entries(5, 30)])
        take(folder.snapshots, 20, term=2)
        state, log = start(folder)
        assert (21, [], ()) == (folder.log.first_index(), log, state.configuration_entries)

    def test_a_log_behind_the_snapshot_with_a_lower_term_is_discarded(
        self, folder: DataFolder
    ) -> None:
        take(folder.snapshots, 20, term=1)
        folder.log.reset(Index(21))
        folder.log.write(None, entries(21, 23, term=2))
        take(folder.snapshots, 20, term=3)
        assert start(folder)[1] == []

    def test_only_configurations_behind_the_snapshot_count(self, folder: DataFolder) -> None:
        folder.log.write(None, [configuration_entry(1, 1), entry(2), configuration_entry(3, 1)])
        folder.log.write(None, [configuration_entry(4, 1)])
        take(folder.snapshots, 3)
        assert [4] == [each.index for each in start(folder)[0].configuration_entries]

    def test_a_later_term_of_the_snapshot_is_taken_over_without_a_vote(
        self, disk: Disk, folder: DataFolder
    ) -> None:
        take(folder.snapshots, 20, term=7)
        assert HardState(Term(7)) == start(folder)[0].hard_state
        folder.close()
        with open_folder(disk) as again:
            assert HardState(Term(7)) == again.stable.load()

    def test_a_vote_in_the_snapshots_term_is_kept(self, folder: DataFolder) -> None:
        take(folder.snapshots, 20, term=5)
        assert HardState(Term(5), ME) == start(folder)[0].hard_state

    def test_starting_twice_changes_nothing(self, folder: DataFolder) -> None:
        folder.log.write(None, entries(1, 3))
        take(folder.snapshots, 20, term=7)
        first = start(folder)
        batch = folder.log.last_batch
        assert (first, batch) == (start(folder), folder.log.last_batch)

    def test_an_older_snapshot_serves_when_the_log_still_reaches_it(
        self, disk: Disk, folder: DataFolder
    ) -> None:
        folder.log.write(None, entries(1, 9))
        take(folder.snapshots, 3)
        take(folder.snapshots, 7)
        folder.close()
        put(disk, "raft/snapshots/1-7-1000/state.bin", b"other")
        with open_folder(disk) as again:
            state, log = start(again)
            assert (3, entries(1, 9)) == (state.applied_index, log)
            assert [f"{disk.root}/raft/snapshots/1-7-1000"] == [
                each.path for each in again.snapshots.skipped
            ]

    def test_a_gap_between_an_older_snapshot_and_the_log_is_refused(
        self, disk: Disk, folder: DataFolder
    ) -> None:
        """Entries 4 to 20 were acknowledged; what held them cannot be read."""
        folder.log.write(None, entries(1, 3))
        take(folder.snapshots, 3)
        take(folder.snapshots, 20)
        load_initial_state(folder, CODEC)
        folder.close()
        put(disk, "raft/snapshots/1-20-1000/state.bin", b"other")
        with open_folder(disk) as again:
            why = r"begins at entry 21 and the newest usable snapshot ends at 3.*1-20-1000"
            with pytest.raises(StorageError, match=why):
                load_initial_state(again, CODEC)
            assert (21, 20) == (again.log.first_index(), again.log.last_index())

    def test_snapshots_of_which_none_restores_are_refused_and_the_log_stays(
        self, disk: Disk, folder: DataFolder
    ) -> None:
        folder.log.write(None, entries(1, 3))
        take(folder.snapshots, 20)
        folder.close()
        put(disk, "raft/snapshots/1-20-1000/state.bin", b"other")
        put(disk, "raft/snapshots/1-30-1000/meta.json", b"{")
        with open_folder(disk) as again:
            with pytest.raises(CorruptSnapshot, match=r"1-30-1000: .*1-20-1000: "):
                load_initial_state(again, CODEC)
            assert again.log.last_index() == 3

    def test_a_snapshot_of_go_is_started_from(self, disk: Disk) -> None:
        open_folder(disk).close()
        put_go_folder(Disk(disk.fs, f"{disk.root}/raft"), FIXTURES / "raft" / "snapshot-dir")
        with open_folder(disk) as folder:
            state, log = start(folder)
            assert not folder.is_fresh
        assert (200, 5, []) == (state.applied_index, state.hard_state.term, log)

    def test_a_folder_with_a_snapshot_is_not_bootstrapped(self, disk: Disk) -> None:
        with open_folder(disk) as folder:
            take(folder.snapshots, 3)
            assert not folder.is_fresh
            with pytest.raises(StorageError, match="was used before"):
                folder.bootstrap(MEMBERS, CODEC)

    def test_a_folder_with_an_unreadable_snapshot_is_not_fresh(self, disk: Disk) -> None:
        with open_folder(disk) as folder:
            put(disk, "raft/snapshots/1-3-1000/meta.json", b"{")
            assert not folder.is_fresh

    def test_the_folder_keeps_as_many_snapshots_as_it_is_told(self, disk: Disk) -> None:
        path = f"{disk.root}/raft"
        with DataFolder.open(path, ME, fs=disk.fs, snapshots_retained=2) as folder:
            for index in (1, 2, 3):
                take(folder.snapshots, index)
            assert [3, 2] == [info.meta.index for info in folder.snapshots.list()]
