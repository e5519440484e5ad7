"""Mixed-cluster rule 3: what a Go peer's folder says; and rule 2: what Go is given back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.errors import CorruptLog, CorruptSnapshot, StorageError
from raft_over_libp2p.storage import go_export, go_import
from raft_over_libp2p.storage.bolt_writer import write_bolt_file
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.storage.filesystem import RealFileSystem
from raft_over_libp2p.storage.go_export import export_to_go
from raft_over_libp2p.storage.go_folder import GoFolder, GoState
from raft_over_libp2p.storage.go_import import import_go_folder, stored_entries
from raft_over_libp2p.storage.go_store import GoStore, uint64_key
from raft_over_libp2p.storage.snapshot_meta import encode_meta, parse_meta
from raft_over_libp2p.storage.snapshot_store import FileSnapshotStore
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.types import Configuration, Index, LogEntry, LogType, Server, Suffrage, Term
from raft_over_libp2p.wire.configuration import encode_peers
from tests.storage.entries import entries, entry
from tests.storage.go_stores import (
    GO_STORES,
    ME,
    MEMBERS,
    OTHER,
    make_snapshot,
    make_store,
    members_entry,
)
from tests.storage.snapshots import FIXTURES

GO = "/raft"
OURS = "/ours"
BACK = "/back"
LOG = [members_entry(1), *entries(2, 9), *entries(10, 12, term=3)]


@pytest.fixture
def fs() -> FakeFileSystem:
    made = FakeFileSystem()
    made.mkdir(GO)
    return made


def state_of(fs: FakeFileSystem) -> GoState:
    with GoFolder(fs, GO) as go:
        return go.state


def taken_over(fs: FakeFileSystem) -> DataFolder:
    with GoFolder(fs, GO) as go:
        import_go_folder(fs, go, OURS, ME, segment_bytes=4096)
    return DataFolder.open(OURS, ME, fs=fs, lock_path="/lock", segment_bytes=4096)


def put_fixture(fs: FakeFileSystem, folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        name = f"{GO}/{path.relative_to(folder)}"
        if path.is_dir():
            fs.mkdir(name)
        else:
            fs.open_file(name, create=True).pwrite(path.read_bytes(), 0)


class TestTermAndVote:
    """Term = max(CurrentTerm, LastVoteTerm, last log term, snapshot term); the vote is that term's."""

    @pytest.mark.parametrize(
        ("current", "vote_term", "candidate", "expected"),
        [
            (5, 5, OTHER, HardState(Term(5), OTHER)),
            (6, 5, OTHER, HardState(Term(6))),
            (5, 6, OTHER, HardState(Term(6), OTHER)),
            (5, 5, None, HardState(Term(5))),
            (5, None, None, HardState(Term(5))),
            (2, 2, OTHER, HardState(Term(3))),
            (None, None, None, HardState(Term(3))),
        ],
    )
    def test_over_a_log_of_term_3(
        self,
        fs: FakeFileSystem,
        current: int | None,
        vote_term: int | None,
        candidate: str | None,
        expected: HardState,
    ) -> None:
        vote = candidate.encode() if candidate else None
        make_store(fs, f"{GO}/raft.db", LOG, term=current, vote_term=vote_term, vote=vote)
        assert expected == state_of(fs).hard_state

    def test_a_snapshot_of_a_later_term_raises_it(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db", LOG, term=3, vote_term=3, vote=ME.encode())
        make_snapshot(fs, GO, 20, 7)
        assert HardState(Term(7)) == state_of(fs).hard_state

    def test_a_vote_that_a_crash_tore_is_told(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db", LOG, term=5, vote_term=6, vote=OTHER.encode())
        (note,) = state_of(fs).notes
        assert "between the vote in term 6 and noting that term" in note

    def test_a_candidate_in_another_form_is_the_same_peer(self, fs: FakeFileSystem) -> None:
        cid = "bafzaajaiaejcbcwljbnvv6aq6tzzjzhpgyr7nsxgkc4jhegzxuv7kxsoov3zwbi6"
        make_store(fs, f"{GO}/raft.db", LOG, term=5, vote_term=5, vote=cid.encode())
        vote = state_of(fs).hard_state.vote
        assert vote is not None
        assert vote.startswith("12D3KooW")

    @pytest.mark.parametrize("candidate", [b"not a peer", b"\xff\xfe"])
    def test_a_candidate_that_is_no_peer_is_refused(
        self, fs: FakeFileSystem, candidate: bytes
    ) -> None:
        make_store(fs, f"{GO}/raft.db", LOG, term=5, vote_term=5, vote=candidate)
        with pytest.raises(CorruptLog, match=r"LastVoteCand is not a peer ID"):
            state_of(fs)


class TestLog:
    def test_all_of_it_without_a_snapshot(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db", LOG, term=3)
        state = state_of(fs)
        assert (1, 12, Term(3)) == (state.first_index, state.last_index, state.last_term)
        assert (MEMBERS, 1) == (state.configuration, state.configuration_index)

    @pytest.mark.parametrize("kept_from", [1, 9, 10])
    def test_what_follows_the_snapshot(self, fs: FakeFileSystem, kept_from: int) -> None:
        make_store(fs, f"{GO}/raft.db", LOG[kept_from - 1 :], term=3)
        make_snapshot(fs, GO, 9, 1)
        state = state_of(fs)
        assert (10, 12, 3) == (state.first_index, state.last_index, state.entry_count)
        assert (kept_from, 12) == (state.stored_first_index, state.stored_last_index)

    def test_nothing_when_the_snapshot_is_ahead(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db", LOG, term=3)
        make_snapshot(fs, GO, 20, 3)
        state = state_of(fs)
        assert (21, 20, 0, ()) == (
            state.first_index,
            state.last_index,
            state.entry_count,
            state.notes,
        )

    def test_a_gap_below_the_snapshot_is_gos_habit(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db", [*LOG[:5], *entries(21, 23, term=4)], term=4)
        make_snapshot(fs, GO, 20, 3)
        assert (21, 23) == (state_of(fs).first_index, state_of(fs).last_index)

    def test_none_of_it_when_it_disagrees_at_the_snapshot(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db", LOG, term=3)
        make_snapshot(fs, GO, 9, 2)
        state = state_of(fs)
        assert (10, 9) == (state.first_index, state.last_index)
        assert "disagrees with the newest snapshot (it has term 1 at entry 9)" in state.notes[0]

    def test_none_of_it_when_it_is_older_than_the_snapshot(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db", LOG[9:], term=4)
        make_snapshot(fs, GO, 9, 4)
        state = state_of(fs)
        assert (10, 9) == (state.first_index, state.last_index)
        assert "entry 10 behind it is of the older term 3" in state.notes[0]

    @pytest.mark.parametrize(
        ("log", "snapshot", "why"),
        [
            (LOG[3:], None, "there is no snapshot, and the next entry in the log is 4"),
            ([*LOG[:4], *LOG[6:]], None, "the log has entry 4, and the next entry in the log is 7"),
            (LOG[6:], 5, "the snapshot ends at entry 5, and the next entry in the log is 7"),
        ],
    )
    def test_a_gap_is_refused(
        self, fs: FakeFileSystem, log: list[LogEntry], snapshot: int | None, why: str
    ) -> None:
        make_store(fs, f"{GO}/raft.db", log, term=3)
        if snapshot:
            make_snapshot(fs, GO, snapshot, 1)
        with pytest.raises(StorageError, match=f"{why}.*Nothing was changed"):
            state_of(fs)

    def test_terms_that_fall_are_refused(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db", [*entries(1, 3, term=2), *entries(4, 4)], term=3)
        with pytest.raises(CorruptLog, match=r"entry 4 has term 1, and the one before it 2"):
            state_of(fs)

    def test_an_entry_at_a_wrong_place_is_refused(self, fs: FakeFileSystem) -> None:
        moved = entry(2)
        moved.index = Index(1)
        make_store(fs, f"{GO}/raft.db", [moved], term=3)
        with pytest.raises(CorruptLog, match=r"entry 2 stands where 1 belongs"):
            state_of(fs)

    def test_an_entry_that_does_not_decode_is_refused(self, fs: FakeFileSystem) -> None:
        broken = entry(1)
        broken.encoded = b"\xc1"
        make_store(fs, f"{GO}/raft.db", [broken], term=3)
        with pytest.raises(CorruptLog, match=r"raft.db.*entry 1: "):
            state_of(fs)

    def test_an_entry_over_the_limit_is_refused_with_a_way_out(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db", [entry(1, data=bytes((1 << 20) + 1))], term=3)
        with pytest.raises(StorageError, match=r"entry 1 cannot be taken over.*until a snapshot"):
            state_of(fs)

    @pytest.mark.parametrize("kind", [LogType.ADD_PEER_DEPRECATED, LogType.REMOVE_PEER_DEPRECATED])
    def test_membership_changes_of_protocol_0_are_taken_over(
        self, fs: FakeFileSystem, kind: LogType
    ) -> None:
        old = entry(2, 1, encode_peers(MEMBERS), kind)
        make_store(fs, f"{GO}/raft.db", [LOG[0], old], term=3)

        assert (MEMBERS, 2) == (state_of(fs).configuration, state_of(fs).configuration_index)

    def test_the_latest_configuration_counts(self, fs: FakeFileSystem) -> None:
        later = Configuration((*MEMBERS.servers, Server(ME, ME, Suffrage.STAGING)))
        make_store(fs, f"{GO}/raft.db", [*LOG, members_entry(13, 3, later)], term=3)
        make_snapshot(fs, GO, 9, 1)
        assert (later, 13) == (state_of(fs).configuration, state_of(fs).configuration_index)

    def test_a_folder_never_used_is_empty(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db")
        state = state_of(fs)
        assert (HardState(Term(0)), 1, 0) == (state.hard_state, state.first_index, state.last_index)


class TestDamage:
    def test_a_damaged_meta_page_is_refused(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db", LOG, term=3)
        fs.flip_bit(f"{GO}/raft.db", 4096 + 40)
        with pytest.raises(
            CorruptLog, match=r"page 1: its checksum is wrong: the last transaction"
        ):
            state_of(fs)

    @pytest.mark.parametrize("name", ["logs", "conf"])
    def test_a_file_without_its_buckets_is_no_raft_db(self, fs: FakeFileSystem, name: str) -> None:
        there = {b"logs": b"conf", b"conf": b"logs"}[name.encode()]
        write_bolt_file(fs, f"{GO}/raft.db", {there: ()})
        with pytest.raises(CorruptLog, match=f"it has no bucket '{name}'"):
            state_of(fs)

    def test_a_term_of_another_size_is_refused(self, fs: FakeFileSystem) -> None:
        write_bolt_file(fs, f"{GO}/raft.db", {b"logs": (), b"conf": [(b"CurrentTerm", b"1")]})
        with pytest.raises(CorruptLog, match=r"CurrentTerm has 1 bytes, not 8"):
            state_of(fs)

    def test_a_newest_snapshot_with_a_wrong_checksum_is_refused(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db", LOG, term=3)
        make_snapshot(fs, GO, 5, 1)
        make_snapshot(fs, GO, 9, 1)
        fs.flip_bit(f"{GO}/snapshots/1-9-1700000000000/state.bin", 0)
        with pytest.raises(CorruptSnapshot, match=r"1-9-1700000000000/state.bin"):
            state_of(fs)

    def test_a_newest_snapshot_without_a_description_is_refused(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db", LOG, term=3)
        make_snapshot(fs, GO, 5, 1)
        make_snapshot(fs, GO, 9, 1)
        fs.unlink(f"{GO}/snapshots/1-9-1700000000000/meta.json")
        with pytest.raises(CorruptSnapshot, match=r"newest snapshot cannot be used.*1-9-"):
            state_of(fs)

    def test_an_older_snapshot_may_be_damaged(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db", LOG, term=3)
        make_snapshot(fs, GO, 5, 1)
        make_snapshot(fs, GO, 9, 1)
        fs.unlink(f"{GO}/snapshots/1-5-1700000000000/meta.json")
        state = state_of(fs)
        assert state.snapshot is not None
        assert 9 == state.snapshot.meta.index
        assert "older snapshot" in state.notes[0]

    def test_an_abandoned_snapshot_is_ignored_and_stays(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db", LOG, term=3)
        make_snapshot(fs, GO, 9, 1)
        fs.mkdir(f"{GO}/snapshots/9-999-1700000000000.tmp")
        assert 10 == state_of(fs).first_index
        assert fs.exists(f"{GO}/snapshots/9-999-1700000000000.tmp")


class TestTakingOver:
    @pytest.mark.parametrize("snapshot", [None, 9, 12, 20])
    def test_our_folder_starts_where_go_ended(
        self, fs: FakeFileSystem, snapshot: int | None
    ) -> None:
        make_store(fs, f"{GO}/raft.db", LOG, term=5, vote_term=5, vote=OTHER.encode())
        if snapshot:
            make_snapshot(fs, GO, snapshot, 1 if snapshot < 10 else 3, [b"a" * 100, b"b"])
        first = (snapshot or 0) + 1
        with taken_over(fs) as folder:
            assert HardState(Term(5), OTHER) == folder.stable.load()
            assert LOG[first - 1 :] == list(stored_entries(folder, Index(first)))
            newest = folder.snapshots.newest()
            assert snapshot == (newest.meta.index if newest else None)
            if newest:
                assert b"a" * 100 + b"b" == folder.snapshots.open(newest).read(1000)

    @pytest.mark.parametrize(
        "folder",
        sorted({path.parent for path in GO_STORES if path.name == "raft.db"}),
        ids=lambda path: path.name,
    )
    def test_recorded_folders_make_the_way_there_and_back(
        self, fs: FakeFileSystem, folder: Path
    ) -> None:
        put_fixture(fs, folder)
        before = state_of(fs)
        with GoFolder(fs, GO) as go:
            log = list(go.entries())
        with taken_over(fs) as ours:
            export_to_go(fs, ours, BACK)
        with GoFolder(fs, BACK) as go:
            after = go.state
            assert log == list(go.entries())
        assert (before.hard_state, before.snapshot) == (after.hard_state, after.snapshot)
        assert (before.configuration, before.last_index) == (after.configuration, after.last_index)

    def test_the_recorded_cluster_is_read_as_go_told_it(self) -> None:
        told = json.loads((FIXTURES / "raft/cluster-data/state.json").read_text())
        for name, peer in told.items():
            with GoFolder(RealFileSystem(), str(FIXTURES / "raft/cluster-data" / name)) as go:
                entries_told = [
                    each for each in peer["log"]["entries"] if each["index"] >= go.state.first_index
                ]
                data = [
                    (each.index, each.term, each.data.hex())
                    for each in go.entries()
                    if each.type == 0
                ]
            status = peer["status"]
            assert status["last_log_index"] == go.state.last_index
            assert status["last_log_term"] == go.state.last_term
            assert [server["id"] for server in status["config"]] == list(go.state.configuration.ids)
            assert [
                (each["index"], each["term"], each["data_hex"])
                for each in entries_told
                if each["type"] == "LogCommand"
            ] == data

    def test_it_is_durable_but_for_its_name(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db", LOG, term=3)
        make_snapshot(fs, GO, 9, 1)
        with GoFolder(fs, GO) as go:
            import_go_folder(fs, go, OURS, ME, segment_bytes=4096)
        fs.sync_directory("/")
        fs.sync_directory(GO)
        assert not fs.has_unsynced()

    def test_go_cannot_start_on_our_folder(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db", LOG, term=3)
        taken_over(fs).close()
        assert fs.is_directory(f"{OURS}/raft.db")

    def test_a_folder_with_gos_log_in_it_is_still_refused(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db", LOG, term=3)
        with pytest.raises(StorageError, match=r"migrate from-go"):
            DataFolder.open(GO, ME, fs=fs)


def _without_last(made: Callable[..., Iterator[list[LogEntry]]]) -> Callable[..., object]:
    return lambda log: made(list(log)[:-1])


def _with_another(made: Callable[..., Iterator[list[LogEntry]]]) -> Callable[..., object]:
    return lambda log: made([*list(log)[:-1], entry(12, 3, b"another")])


class TestTheCheck:
    """What is lost or changed on the way is noticed, whichever way it goes."""

    @pytest.mark.parametrize(
        ("fault", "why"), [(_without_last, "should hold"), (_with_another, "was written, and")]
    )
    def test_an_entry_lost_or_changed_on_the_way_here(
        self,
        fs: FakeFileSystem,
        monkeypatch: pytest.MonkeyPatch,
        fault: Callable[..., Callable[..., object]],
        why: str,
    ) -> None:
        monkeypatch.setattr(go_import, "batches", fault(go_import.batches))
        make_store(fs, f"{GO}/raft.db", LOG, term=3)
        with pytest.raises(StorageError, match=why):
            taken_over(fs)

    def test_another_snapshot_on_the_way_here(
        self, fs: FakeFileSystem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def copy(*_: object) -> None:
            make_snapshot(fs, OURS, 9, 1, [b"another"])

        monkeypatch.setattr(go_import, "copy_snapshot", copy)
        make_store(fs, f"{GO}/raft.db", LOG, term=3)
        make_snapshot(fs, GO, 9, 1)
        with pytest.raises(StorageError, match="should have"):
            taken_over(fs)

    def test_a_snapshot_named_for_another_index(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db", LOG, term=3)
        make_snapshot(fs, GO, 9, 1)
        renamed(fs, "1-9-1700000000000", "1-8-1700000000000")
        with pytest.raises(StorageError, match=r"1-8-1700000000000"):
            taken_over(fs)

    def test_a_snapshot_that_cannot_keep_its_name(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db", LOG, term=3)
        make_snapshot(fs, GO, 9, 1)
        with GoFolder(fs, GO) as go:
            snapshot = go.open_snapshot()
        assert snapshot is not None
        with pytest.raises(StorageError, match=r"was copied as"):
            go_import.copy_snapshot(snapshot, FileSnapshotStore(fs, GO))

    def test_a_snapshot_not_named_as_go_names_it(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db", LOG, term=3)
        make_snapshot(fs, GO, 9, 1)
        renamed(fs, "1-9-1700000000000", "1-9-mine")
        with pytest.raises(CorruptSnapshot, match="is not named as Go names it"):
            state_of(fs)

    def test_a_vote_lost_on_the_way_back(
        self, fs: FakeFileSystem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(go_export, "_conf", lambda _: [(b"CurrentTerm", bytes(8))])
        make_store(fs, f"{GO}/raft.db", LOG, term=5, vote_term=5, vote=OTHER.encode())
        with taken_over(fs) as ours, pytest.raises(StorageError, match="should hold"):
            export_to_go(fs, ours, BACK)

    def test_an_entry_changed_on_the_way_back(
        self, fs: FakeFileSystem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        changed = [*LOG[:11], entry(12, 3, b"another")]
        logs = [(uint64_key(each.index), each.encoded) for each in changed]
        monkeypatch.setattr(go_export, "_logs", lambda _: logs)
        make_store(fs, f"{GO}/raft.db", LOG, term=5)
        with taken_over(fs) as ours, pytest.raises(StorageError, match="was written, and"):
            export_to_go(fs, ours, BACK)

    def test_a_key_that_is_no_index(self, fs: FakeFileSystem) -> None:
        write_bolt_file(fs, f"{GO}/raft.db", {b"logs": [(b"short", b"")], b"conf": ()})
        with pytest.raises(CorruptLog, match="the key 73686f7274 of an entry is not 8 bytes"):
            state_of(fs)

    def test_large_entries_are_written_in_several_batches(self, fs: FakeFileSystem) -> None:
        large = entries(2, 9, size=1 << 20)
        make_store(fs, f"{GO}/raft.db", [LOG[0], *large], term=1)
        with taken_over(fs) as ours:
            assert [LOG[0], *large] == list(stored_entries(ours, Index(1)))


def renamed(fs: FakeFileSystem, old: str, new: str) -> None:
    """Give a snapshot another name, on its directory and in it."""
    fs.rename(f"{GO}/snapshots/{old}", f"{GO}/snapshots/{new}")
    file = fs.open_file(f"{GO}/snapshots/{new}/meta.json")
    info = parse_meta(file.pread(file.size(), 0))
    file.truncate(0)
    file.pwrite(encode_meta(replace(info, snapshot_id=new)), 0)


class TestGivingBack:
    def test_go_gets_term_vote_log_and_snapshot(self, fs: FakeFileSystem) -> None:
        make_store(fs, f"{GO}/raft.db", LOG, term=3)
        make_snapshot(fs, GO, 9, 1)
        with taken_over(fs) as ours:
            ours.stable.save(HardState(Term(8), ME))
            ours.log.write(Index(11), entries(11, 30, term=7))
            export_to_go(fs, ours, BACK)
        with GoStore(fs, f"{BACK}/raft.db") as store:
            vote = store.vote()
            assert (8, 8, ME) == (vote.current_term, vote.last_vote_term, vote.last_vote_candidate)
            assert [LOG[9], *entries(11, 30, term=7)] == list(store.entries(Index(1)))
        assert ["1-9-1700000000000"] == fs.listdir(f"{BACK}/snapshots")

    def test_entries_that_the_snapshot_covers_go_along(self, fs: FakeFileSystem) -> None:
        with DataFolder.open(OURS, ME, fs=fs, lock_path="/lock") as ours:
            ours.stable.save(HardState(Term(3)))
            ours.log.write(None, LOG)
            make_snapshot(fs, OURS, 9, 1)
            export_to_go(fs, ours, BACK)
        with GoStore(fs, f"{BACK}/raft.db") as store:
            assert LOG == list(store.entries(Index(1)))
            assert store.vote().last_vote_candidate is None
