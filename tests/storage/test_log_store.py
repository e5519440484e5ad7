"""The LogStore contract, on real files and on the fake; then what needs the fake's faults."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from raft_over_libp2p.errors import CorruptLog, DiskFull, DurabilityLost, LocalProtocolError
from raft_over_libp2p.storage.interface import LogStore
from raft_over_libp2p.storage.log_store import SegmentedLog
from raft_over_libp2p.storage.segment import SEGMENT_HEADER_BYTES
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.types import Index, LogEntry, LogType
from tests.storage.conftest import Disk
from tests.storage.entries import entries, entry

FOLDER_ID = b"folder id 16 byt"
SEGMENT_BYTES = 4096
ALL = 1 << 30


def open_log(disk: Disk, segment_bytes: int = SEGMENT_BYTES) -> SegmentedLog:
    directory = f"{disk.root}/log"
    if not disk.fs.exists(directory):
        disk.fs.mkdir(directory)
    return SegmentedLog(disk.fs, directory, FOLDER_ID, segment_bytes=segment_bytes)


def content(log: LogStore) -> list[LogEntry]:
    return list(log.entries(log.first_index(), log.last_index(), ALL))


def write_until_full(log: SegmentedLog, made: list[LogEntry]) -> list[LogEntry]:
    """Write one by one and return those that were written before the disk was full."""
    for place, one in enumerate(made):
        try:
            log.write(None, [one])
        except DiskFull:
            return made[:place]
    pytest.fail("the disk never was full")


@pytest.fixture
def log(disk: Disk) -> Iterator[SegmentedLog]:
    opened = open_log(disk)
    yield opened
    opened.close()


class TestLogStoreContract:
    def test_an_empty_log_ends_before_its_first_entry(self, log: SegmentedLog) -> None:
        assert (1, 0, []) == (log.first_index(), log.last_index(), content(log))

    def test_entries_are_read_as_written(self, log: SegmentedLog) -> None:
        made = [entry(1, 1, kind=LogType.NOOP), entry(2, 1, b"data"), entry(3, 4, b"\x00\xff")]
        log.write(None, made)
        assert made == content(log)
        assert [e.encoded for e in made] == [e.encoded for e in content(log)]

    def test_terms_are_known(self, log: SegmentedLog) -> None:
        log.write(None, [entry(1, 1), entry(2, 5), entry(3, 2**40)])
        assert [1, 5, 2**40] == [log.term(Index(i)) for i in (1, 2, 3)]

    def test_reading_stops_at_max_bytes_but_gives_one(self, log: SegmentedLog) -> None:
        made = entries(1, 9, size=100)
        log.write(None, made)
        size = len(made[0].encoded or b"")
        counts = [len(log.entries(Index(2), Index(9), n)) for n in (0, size, 2 * size + 1, ALL)]
        assert [1, 1, 2, 8] == counts

    def test_reading_crosses_batches_and_segments(self, log: SegmentedLog) -> None:
        made = entries(1, 100, size=100)
        for start in range(0, 100, 5):
            log.write(None, made[start : start + 5])
        assert made == content(log)

    def test_a_suffix_is_replaced(self, log: SegmentedLog) -> None:
        log.write(None, entries(1, 10))
        log.write(Index(4), entries(4, 5, term=2))
        assert entries(1, 3) + entries(4, 5, term=2) == content(log)

    def test_a_suffix_is_removed(self, log: SegmentedLog) -> None:
        log.write(None, entries(1, 10))
        log.write(Index(4), [])
        assert entries(1, 3) == content(log)

    def test_everything_may_be_truncated(self, log: SegmentedLog) -> None:
        log.write(None, entries(1, 10))
        log.write(Index(1), [])
        log.write(None, entries(1, 2, term=2))
        assert entries(1, 2, term=2) == content(log)

    def test_truncating_behind_the_end_changes_nothing(self, log: SegmentedLog) -> None:
        log.write(None, entries(1, 3))
        log.write(Index(4), [])
        log.write(None, [])
        assert entries(1, 3) == content(log)

    @pytest.mark.parametrize("truncate_from", [0, 5])
    def test_truncation_outside_the_log_is_refused(
        self, log: SegmentedLog, truncate_from: int
    ) -> None:
        log.write(None, entries(1, 3))
        with pytest.raises(LocalProtocolError, match="the log holds 1 to 3"):
            log.write(Index(truncate_from), [])
        assert entries(1, 3) == content(log)

    def test_entries_that_do_not_follow_are_refused(self, log: SegmentedLog) -> None:
        log.write(None, entries(1, 3))
        with pytest.raises(LocalProtocolError, match="as encoded entry 4"):
            log.write(None, [entry(5)])
        assert entries(1, 3) == content(log)

    @pytest.mark.parametrize("index", [0, 4])
    def test_reading_what_is_not_kept_is_refused(self, log: SegmentedLog, index: int) -> None:
        log.write(None, entries(1, 3))
        with pytest.raises(LocalProtocolError, match=f"entry {index} is not in the log"):
            log.term(Index(index))
        with pytest.raises(LocalProtocolError, match=f"entry {index} is not in the log"):
            log.entries(Index(index), Index(index), ALL)

    def test_configurations_are_listed_and_truncated(self, disk: Disk, log: SegmentedLog) -> None:
        made = [entry(i, 1, kind=LogType.COMMAND) for i in range(1, 10)]
        for index in (1, 4, 8):
            made[index - 1] = entry(index, 1, b"\x81\xa7Servers\xc0", LogType.CONFIGURATION)
        log.write(None, made)
        assert (made[0], made[3], made[7]) == log.configuration_entries()
        log.write(Index(8), [])
        assert (made[0], made[3]) == log.configuration_entries()
        log.close()
        assert (made[0], made[3]) == open_log(disk).configuration_entries()

    @pytest.mark.parametrize("kind", [LogType.ADD_PEER_DEPRECATED, LogType.REMOVE_PEER_DEPRECATED])
    def test_lists_of_peers_are_configurations_too(
        self, disk: Disk, log: SegmentedLog, kind: LogType
    ) -> None:
        made = [entry(1, 1), entry(2, 1, b"\x91\xa1x", kind)]
        log.write(None, made)
        assert (made[1],) == log.configuration_entries()
        log.close()
        assert (made[1],) == open_log(disk).configuration_entries()

    def test_everything_is_there_after_reopening(self, disk: Disk, log: SegmentedLog) -> None:
        log.write(None, entries(1, 60, size=100))
        log.write(Index(31), entries(31, 40, term=2))
        log.close()
        again = open_log(disk)
        assert entries(1, 30, size=100) + entries(31, 40, term=2) == content(again)
        assert again.torn is None

    def test_a_batch_larger_than_a_segment_is_one_batch(
        self, disk: Disk, log: SegmentedLog
    ) -> None:
        made = entries(1, 200, size=100)
        log.write(None, made)
        log.write(None, entries(201, 202))
        log.close()
        again = open_log(disk)
        assert (2, made + entries(201, 202)) == (again.last_batch, content(again))

    def test_close_may_be_called_twice(self, log: SegmentedLog) -> None:
        log.close()
        log.close()


class TestRemovingAPrefix:
    def test_whole_segments_go_and_later_entries_stay(self, disk: Disk, log: SegmentedLog) -> None:
        made = entries(1, 100, size=100)
        for one in made:
            log.write(None, [one])
        before = len(disk.fs.listdir(f"{disk.root}/log"))
        first = log.remove_prefix(Index(50))
        assert before > len(disk.fs.listdir(f"{disk.root}/log"))
        assert 25 < first <= 51
        assert made[first - 1 :] == content(log)

    def test_it_stays_removed_after_reopening(self, disk: Disk, log: SegmentedLog) -> None:
        made = entries(1, 100, size=100)
        for one in made:
            log.write(None, [one])
        first = log.remove_prefix(Index(50))
        log.close()
        assert made[first - 1 :] == content(open_log(disk))

    def test_the_last_batch_always_stays(self, disk: Disk, log: SegmentedLog) -> None:
        log.write(None, entries(1, 100, size=100))
        assert log.remove_prefix(Index(100)) == 1
        log.close()
        assert open_log(disk).last_batch == 1

    def test_a_log_truncated_below_what_was_removed_begins_there(
        self, disk: Disk, log: SegmentedLog
    ) -> None:
        # Voided entries fill the segments between the live ones and the batch that voids them.
        for one in entries(1, 100, size=100):
            log.write(None, [one])
        log.write(Index(10), entries(10, 20, term=2, size=100))
        first = log.remove_prefix(Index(9))
        log.close()
        again = open_log(disk)
        assert (10, 20) == (first, again.last_index())
        assert entries(10, 20, term=2, size=100) == content(again)


class TestReset:
    def test_an_empty_log_goes_on_at_the_next_index(self, disk: Disk, log: SegmentedLog) -> None:
        log.reset(Index(21))
        assert (21, 20, []) == (log.first_index(), log.last_index(), content(log))
        log.close()
        again = open_log(disk)
        assert (21, 20) == (again.first_index(), again.last_index())
        again.write(None, entries(21, 22, term=2))
        assert entries(21, 22, term=2) == content(again)

    @pytest.mark.parametrize("next_index", [1, 5, 11, 12, 2**40])
    def test_everything_is_discarded_wherever_it_goes_on(
        self, disk: Disk, log: SegmentedLog, next_index: int
    ) -> None:
        log.write(None, entries(1, 10))
        log.reset(Index(next_index))
        assert (next_index, next_index - 1) == (log.first_index(), log.last_index())
        log.write(None, entries(next_index, next_index + 2, term=3))
        log.close()
        assert entries(next_index, next_index + 2, term=3) == content(open_log(disk))

    def test_configurations_are_discarded_too(self, disk: Disk, log: SegmentedLog) -> None:
        log.write(None, [entry(1, 1, b"\x81\xa7Servers\xc0", LogType.CONFIGURATION)])
        log.reset(Index(5))
        assert () == log.configuration_entries()
        log.close()
        assert () == open_log(disk).configuration_entries()

    def test_the_space_of_whole_segments_comes_back(self, disk: Disk, log: SegmentedLog) -> None:
        for one in entries(1, 100, size=100):
            log.write(None, [one])
        log.reset(Index(101))
        assert len(disk.fs.listdir(f"{disk.root}/log")) <= 3
        log.close()
        assert (101, 100) == (open_log(disk).first_index(), open_log(disk).last_index())

    def test_it_can_be_truncated_and_reset_again(self, disk: Disk, log: SegmentedLog) -> None:
        log.reset(Index(21))
        log.write(None, entries(21, 25))
        log.write(Index(21), entries(21, 21, term=2))
        log.reset(Index(3))
        log.reset(Index(7))
        log.close()
        again = open_log(disk)
        assert (7, 6, 5) == (again.first_index(), again.last_index(), again.last_batch)

    def test_a_write_before_the_new_beginning_is_refused(self, log: SegmentedLog) -> None:
        log.reset(Index(21))
        with pytest.raises(LocalProtocolError, match="the log holds 21 to 20"):
            log.write(Index(20), entries(20, 20))

    def test_there_is_no_entry_zero_to_go_on_at(self, log: SegmentedLog) -> None:
        log.write(None, entries(1, 3))
        with pytest.raises(LocalProtocolError, match="cannot begin at entry 0"):
            log.reset(Index(0))
        assert entries(1, 3) == content(log)


def test_after_a_failed_sync_in_a_reset_the_log_is_not_used_any_more() -> None:
    fs = FakeFileSystem()
    log = open_log(Disk(fs, ""))
    log.write(None, entries(1, 3))
    fs.failing_syncs = {fs.syncs + 1}
    with pytest.raises(DurabilityLost):
        log.reset(Index(21))
    with pytest.raises(DurabilityLost, match="an earlier write to it failed"):
        log.write(None, entries(4, 4))


def test_after_a_failed_sync_in_a_removal_the_log_is_not_used_any_more() -> None:
    fs = FakeFileSystem()
    log = open_log(Disk(fs, ""))
    for one in entries(1, 100, size=100):
        log.write(None, [one])
    fs.failing_directory_syncs = {fs.directory_syncs + 1}
    with pytest.raises(DurabilityLost):
        log.remove_prefix(Index(90))
    with pytest.raises(DurabilityLost, match="an earlier write to it failed"):
        log.reset(Index(101))


class TestFaults:
    """Only the fake fails on demand."""

    def setup_method(self) -> None:
        self.fs = FakeFileSystem()
        self.disk = Disk(self.fs, "")

    def test_no_space_leaves_the_log_as_it_was(self) -> None:
        log = open_log(self.disk)
        log.write(None, entries(1, 3))
        self.fs.full_writes, self.fs.partial_bytes = {self.fs.writes + 1}, 50
        with pytest.raises(DiskFull):
            log.write(Index(2), entries(2, 9, term=2))
        assert (entries(1, 3), 1) == (content(log), log.last_batch)
        log.write(Index(3), entries(3, 3, term=3))
        assert entries(1, 2) + entries(3, 3, term=3) == content(open_log(self.disk))

    def test_a_batch_without_its_last_zeros_is_not_taken_for_written(self) -> None:
        """The caller was told that it is definitely not there."""
        log = open_log(self.disk)
        log.write(None, entries(1, 1))
        made = [entry(2)]
        assert made[0].encoded is not None
        assert made[0].encoded.endswith(b"\0"), "type COMMAND is the last byte"
        for missing in range(1, 8):
            size = log.end[1]
            log.write(None, made)
            written = log.end[1] - size
            log.write(Index(2), [])
            self.fs.full_writes, self.fs.partial_bytes = {self.fs.writes + 1}, written - missing
            with pytest.raises(DiskFull):
                log.write(None, made)
            assert entries(1, 1) == content(open_log(self.disk))

    def test_a_full_disk_does_not_hinder_a_log_with_room_in_its_segment(self) -> None:
        log = open_log(self.disk)
        self.fs.capacity_bytes = 0
        log.write(None, entries(1, 20))
        assert entries(1, 20) == content(log)

    def test_a_full_disk_is_told_when_segment_and_spare_are_used_up_and_may_end(self) -> None:
        log = open_log(self.disk)
        self.fs.capacity_bytes = 0
        written = write_until_full(log, entries(1, 1000, size=100))
        assert len(written) > SEGMENT_BYTES // 250
        assert written == content(log)
        self.fs.capacity_bytes = None
        log.write(None, entries(len(written) + 1, len(written) + 1, size=100))
        assert written + entries(len(written) + 1, len(written) + 1, size=100) == content(log)
        assert not [name for name in self.fs.listdir("/log") if name.endswith(".tmp")]

    def test_a_log_opens_on_a_full_disk_from_the_space_of_its_spare(self) -> None:
        log = open_log(self.disk)
        log.write(None, entries(1, 3))
        log.close()
        self.fs.capacity_bytes = 2 * SEGMENT_BYTES
        assert entries(1, 3) == content(open_log(self.disk))

    def test_once_rolled_the_log_does_not_go_back_after_no_space(self) -> None:
        """Else a torn batch would have a later segment behind it, which reads as damage."""
        log = open_log(self.disk)
        log.write(None, entries(1, 30, size=80))
        self.fs.full_writes, self.fs.partial_bytes = {self.fs.writes + 1}, 60
        with pytest.raises(DiskFull):
            log.write(None, entries(31, 40, size=80))
        log.write(None, entries(31, 31))
        assert entries(1, 30, size=80) + entries(31, 31) == content(open_log(self.disk))

    @pytest.mark.parametrize("fault", ["failing_writes", "failing_syncs"])
    def test_an_io_error_poisons_the_store(self, fault: str) -> None:
        log = open_log(self.disk)
        log.write(None, entries(1, 3))
        count = self.fs.writes if fault == "failing_writes" else self.fs.syncs
        setattr(self.fs, fault, {count + 1})
        with pytest.raises(DurabilityLost):
            log.write(None, entries(4, 4))
        for call in (
            lambda: log.write(None, entries(4, 4)),
            lambda: log.entries(Index(1), Index(1), ALL),
            lambda: log.remove_prefix(Index(1)),
        ):
            with pytest.raises(DurabilityLost, match="not used any more"):
                call()

    def test_one_write_is_one_pwrite_and_one_fdatasync(self) -> None:
        log = open_log(self.disk)
        log.write(None, entries(1, 9))
        before = (self.fs.writes, self.fs.syncs, self.fs.directory_syncs)
        log.write(Index(3), entries(3, 12, term=2))
        after = (self.fs.writes, self.fs.syncs, self.fs.directory_syncs)
        assert (1, 1, 0) == tuple(b - a for a, b in zip(before, after, strict=True))

    def test_a_damaged_record_is_found_when_read(self) -> None:
        log = open_log(self.disk)
        log.write(None, entries(1, 3))
        path, offset = log.place(Index(2))
        self.fs.flip_bit(path, offset + 30)
        with pytest.raises(CorruptLog, match="entry 2 does not match its checksum") as caught:
            log.entries(Index(1), Index(3), ALL)
        assert (path, offset) == (caught.value.path, caught.value.offset)

    def test_a_torn_last_batch_is_dropped_and_reported(self) -> None:
        log = open_log(self.disk)
        log.write(None, entries(1, 3))
        path, offset = log.end
        log.write(None, entries(4, 6))
        self.fs.flip_bit(path, offset + 60)
        again = open_log(self.disk)
        assert again.torn is not None
        assert (path, offset) == (again.torn.path, again.torn.offset)
        assert entries(1, 3) == content(again)
        assert open_log(self.disk).torn is None

    @pytest.mark.parametrize("at", range(0, 60, 7))
    def test_damage_before_the_last_batch_refuses_with_path_and_offset(self, at: int) -> None:
        log = open_log(self.disk)
        log.write(None, entries(1, 3))
        path, offset = log.end
        log.write(None, entries(4, 6))
        log.write(None, entries(7, 8))
        self.fs.flip_bit(path, offset + at)
        before = self.fs.open_file(path).pread(SEGMENT_BYTES, 0)
        with pytest.raises(CorruptLog) as caught:
            open_log(self.disk)
        assert (path, offset) == (caught.value.path, caught.value.offset)
        assert before == self.fs.open_file(path).pread(SEGMENT_BYTES, 0)

    def test_damage_in_an_earlier_segment_refuses(self) -> None:
        log = open_log(self.disk)
        log.write(None, entries(1, 1))
        path, offset = log.place(Index(1))
        log.write(None, entries(2, 60, size=100))
        self.fs.flip_bit(path, offset)
        with pytest.raises(CorruptLog, match="is whole") as caught:
            open_log(self.disk)
        assert (path, SEGMENT_HEADER_BYTES) == (caught.value.path, caught.value.offset)

    def test_damage_in_two_segments_refuses(self) -> None:
        log = open_log(self.disk)
        log.write(None, entries(1, 1))
        path, offset = log.place(Index(1))
        log.write(None, entries(2, 60, size=100))
        self.fs.flip_bit(path, offset)
        self.fs.flip_bit(*log.place(Index(2)))
        with pytest.raises(CorruptLog, match="a later segment is written to") as caught:
            open_log(self.disk)
        assert (path, SEGMENT_HEADER_BYTES) == (caught.value.path, caught.value.offset)

    def test_a_damaged_segment_header_refuses(self) -> None:
        log = open_log(self.disk)
        log.write(None, entries(1, 1))
        self.fs.flip_bit(log.end[0], 20)
        with pytest.raises(CorruptLog, match="header does not match its checksum"):
            open_log(self.disk)

    def test_a_missing_segment_refuses(self) -> None:
        log = open_log(self.disk)
        for one in entries(1, 100, size=100):
            log.write(None, [one])
        names = self.fs.listdir("/log")
        self.fs.unlink(f"/log/{names[1]}")
        with pytest.raises(CorruptLog, match="is missing"):
            open_log(self.disk)

    def test_a_zeroed_batch_in_the_middle_refuses(self) -> None:
        log = open_log(self.disk)
        log.write(None, entries(1, 3))
        path, offset = log.end
        log.write(None, entries(4, 6))
        end = log.end[1]
        log.write(None, entries(7, 8))
        self.fs.open_file(path).pwrite(bytes(end - offset), offset)
        with pytest.raises(CorruptLog, match="is whole"):
            open_log(self.disk)

    def test_a_segment_of_another_folder_refuses(self) -> None:
        open_log(self.disk).close()
        with pytest.raises(CorruptLog, match="belongs to another folder"):
            SegmentedLog(self.fs, "/log", b"another folder !", segment_bytes=SEGMENT_BYTES)

    def test_a_lost_first_batch_of_a_shortened_log_refuses(self) -> None:
        log = open_log(self.disk)
        for one in entries(1, 100, size=100):
            log.write(None, [one])
        log.remove_prefix(Index(100))
        path, end = log.end
        self.fs.open_file(path).pwrite(bytes(end), SEGMENT_HEADER_BYTES)
        with pytest.raises(CorruptLog, match="no batch is left"):
            open_log(self.disk)


def test_another_thread_reads_while_one_writes(disk: Disk, log: SegmentedLog) -> None:
    log.write(None, entries(1, 50, size=50))
    failures: list[object] = []

    def read() -> None:
        for _ in range(100):
            if entries(1, 50, size=50) != list(log.entries(Index(1), Index(50), ALL)):
                failures.append("read something else")

    reader = threading.Thread(target=read)
    reader.start()
    for start in range(51, 151):
        log.write(None, entries(start, start, size=50))
    log.write(Index(51), [])
    reader.join()
    assert failures == []
