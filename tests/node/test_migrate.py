"""``raft-node migrate`` on real folders: what it says, what it does, and what it refuses."""

from __future__ import annotations

import fcntl
import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from keys.identity import Identity
from node.config import Folder, load_config
from node.migration.handover import Handover, begin
from raft_over_libp2p.errors import DiskFull, DurabilityLost, StorageError
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.storage.filesystem import RealFileSystem
from raft_over_libp2p.storage.go_folder import GoFolder
from raft_over_libp2p.storage.go_import import stored_entries
from raft_over_libp2p.types import Index, ServerID
from tests.node.cli_runner import Run
from tests.storage.entries import entries
from tests.storage.go_stores import make_snapshot, make_store, members_entry, of_version
from tests.storage.snapshots import FIXTURES

CLUSTER = FIXTURES / "ipfs-cluster"
GO_ID = "12D3KooWMouSYH5NswSHYzd2CaDBS7XPvHCyHswANCS2W24r74E6"
LEADER_ID = "12D3KooWGeL3oCZrZwtpBA4VfA4hNCY1rj9wE92uMtbG5hF2fNdN"


def make_go_peer(base: Path, raft: Path) -> Path:
    """A stopped ipfs-cluster-service peer: its own three files, and a recorded ``raft``."""
    base.mkdir(mode=0o700)
    for name in ("identity.json", "service.json", "peerstore"):
        shutil.copyfile(CLUSTER / "service" / name, base / name)
        (base / name).chmod(0o600)
    (base / "cluster.lock").touch(mode=0o600)
    shutil.copytree(raft, base / "raft")
    return base


@pytest.fixture(params=["raft-folder-removed-peer", "raft-folder-log-only"])
def go_peer(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make_go_peer(tmp_path / "go", CLUSTER / request.param)


def look(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return everything in a folder: kind and mode, time of change, content."""
    found = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, content)
    return found


def data_of(path: Path) -> bytes:
    return path.read_bytes()


class TestFromGo:
    def test_a_dry_run_tells_all_and_changes_nothing(self, run: Run, go_peer: Path) -> None:
        before = look(go_peer)
        ran = run("migrate", "from-go", str(go_peer), "--dry-run")
        assert 0 == ran.code, ran.err
        assert before == look(go_peer)
        lines = {line.split("  ")[0].strip(): line for line in ran.out.splitlines()}
        assert GO_ID in lines["peer ID"]
        assert "2, no vote" in lines["term"]
        assert LEADER_ID in lines["member 1"]
        assert "voter (this peer)" in lines["member 2"]
        assert "nothing was changed" in lines["dry run"]
        assert {"snapshot", "log", "pins", "raft.db", "step 1", "step 5"} <= set(lines)

    def test_in_place_the_same_peer_has_the_same_data(self, run: Run, go_peer: Path) -> None:
        kept = {
            name: data_of(go_peer / name) for name in ("identity.json", "service.json", "peerstore")
        }
        with GoFolder(RealFileSystem(), str(go_peer / "raft")) as go:
            state, log = go.state, list(go.entries())
        ran = run("migrate", "from-go", str(go_peer))
        assert 0 == ran.code, ran.err
        assert kept == {name: data_of(go_peer / name) for name in kept}
        with DataFolder.open(go_peer / "raft", ServerID(GO_ID)) as ours:
            assert state.hard_state == ours.stable.load()
            assert log == list(stored_entries(ours, state.first_index))
            assert state.snapshot == ours.snapshots.newest()
        assert "read back, and are the same" in ran.out
        assert f"raft-node daemon -c {go_peer}" in ran.out

    def test_the_old_data_stays_as_a_backup(self, run: Run, go_peer: Path) -> None:
        before = look(go_peer / "raft")
        run("migrate", "from-go", str(go_peer))
        (backup,) = go_peer.glob("raft.taken-over-*")
        after = look(backup)
        assert list(before.values()) == list(after.values())

    def test_into_a_new_folder_go_is_kept_from_starting_in_the_old_one(
        self, run: Run, go_peer: Path, tmp_path: Path
    ) -> None:
        ran = run("migrate", "from-go", str(go_peer), "-c", str(tmp_path / "ours"))
        assert 0 == ran.code, ran.err
        ours = Folder(tmp_path / "ours")
        assert GO_ID == str(Identity.load(ours.identity_json).peer_id)
        assert ours.raft == load_config(ours, {}).data_folder
        assert data_of(CLUSTER / "service" / "peerstore") == data_of(ours.peerstore)
        assert (ours.raft / "FORMAT").is_file()
        assert (go_peer / "raft").is_file()
        assert not (go_peer / "identity.json").exists()
        open_to_others = [p for p in ours.path.rglob("*") if p.stat().st_mode & 0o077]
        assert [] == open_to_others

    def test_a_dry_run_into_a_new_folder_makes_none(
        self, run: Run, go_peer: Path, tmp_path: Path
    ) -> None:
        before = look(tmp_path)
        ran = run("migrate", "from-go", str(go_peer), "-c", str(tmp_path / "ours"), "-n")
        assert 0 == ran.code, ran.err
        assert f"put a file at {go_peer / 'raft'}" in ran.out
        assert before == look(tmp_path)

    @pytest.mark.parametrize(
        ("error", "code"), [(DiskFull("no space."), 1), (DurabilityLost("the disk failed."), 74)]
    )
    def test_a_disk_that_fails_before_anything_moved_is_told(
        self,
        run: Run,
        go_peer: Path,
        monkeypatch: pytest.MonkeyPatch,
        error: StorageError,
        code: int,
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr("node.migration.from_go.import_go_folder", fail)
        before = set(look(go_peer))
        ran = run("migrate", "from-go", str(go_peer))
        assert code == ran.code
        assert "The old folder was not touched" in ran.err
        assert before == set(look(go_peer))

    def test_a_second_take_over_says_that_there_was_a_first(
        self, run: Run, go_peer: Path, tmp_path: Path
    ) -> None:
        run("migrate", "from-go", str(go_peer), "-c", str(tmp_path / "ours"))
        before = look(tmp_path)
        ran = run("migrate", "from-go", str(go_peer), "-c", str(tmp_path / "more"))
        assert 2 == ran.code
        assert f"moved to {tmp_path / 'ours'}" in ran.err
        assert before == look(tmp_path)

    def test_in_place_twice_says_that_it_is_done(self, run: Run, go_peer: Path) -> None:
        run("migrate", "from-go", str(go_peer))
        ran = run("migrate", "from-go", str(go_peer))
        assert 2 == ran.code
        assert "is this program's own already" in ran.err

    def test_programs_are_told_in_json(self, run: Run, go_peer: Path) -> None:
        ran = run("migrate", "from-go", str(go_peer), "--json")
        told = json.loads(ran.out)
        assert (GO_ID, 2, None, False) == (told["id"], told["term"], told["vote"], told["dry_run"])
        assert [LEADER_ID, GO_ID] == [member["id"] for member in told["members"]]
        assert told["last_index"] == 8
        assert told["entries"] == told["last_index"] - told["first_index"] + 1
        assert Path(told["backup"]).is_dir()

    def test_a_data_folder_of_its_own_stays_where_it_is(
        self, run: Run, go_peer: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "data").mkdir()
        shutil.move(go_peer / "raft", tmp_path / "data/consensus")
        service = json.loads(data_of(go_peer / "service.json"))
        service["consensus"]["raft"]["data_folder"] = str(tmp_path / "data/consensus")
        (go_peer / "service.json").write_text(json.dumps(service))
        ran = run("migrate", "from-go", str(go_peer))
        assert 0 == ran.code, ran.err
        assert (tmp_path / "data/consensus/FORMAT").is_file()
        ran = run("migrate", "-c", str(go_peer), "to-go", str(tmp_path / "back"))
        assert 2 == ran.code  # -c belongs to the subcommand
        ran = run("migrate", "to-go", str(tmp_path / "back"), "-c", str(go_peer))
        assert 0 == ran.code, ran.err
        back = Folder(tmp_path / "back")
        assert back.raft == load_config(back, {}).data_folder
        assert (back.raft / "raft.db").is_file()


class TestRefused:
    def refused(self, run: Run, folder: Path, *arguments: str) -> str:
        before = look(folder.parent)
        ran = run("migrate", "from-go", str(folder), *arguments)
        assert 2 == ran.code, ran.out
        assert before == look(folder.parent)
        return ran.err

    @pytest.mark.parametrize("dry", [(), ("--dry-run",)])
    def test_while_a_go_peer_has_its_log_open(
        self, run: Run, go_peer: Path, dry: tuple[str]
    ) -> None:
        with (go_peer / "raft/raft.db").open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            assert "raft.db is locked" in self.refused(run, go_peer, *dry)

    @pytest.mark.parametrize("dry", [(), ("--dry-run",)])
    def test_while_a_daemon_has_the_folder(self, run: Run, go_peer: Path, dry: tuple[str]) -> None:
        hold = (
            "import fcntl, sys; file = open(sys.argv[1], 'r+'); fcntl.lockf(file, fcntl.LOCK_EX);"
            "print('held', flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", hold, str(go_peer / "cluster.lock")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdin is not None
            holder.stdout.readline()
            assert "cluster.lock is locked" in self.refused(run, go_peer, *dry)
            holder.stdin.close()

    def test_a_folder_that_is_not_there(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        assert "is not a folder" in self.refused(run, tmp_path / "none")
        assert "identity.json does not exist" in self.refused(run, tmp_path / "empty")

    def test_a_peer_without_raft_data(self, run: Run, go_peer: Path) -> None:
        shutil.rmtree(go_peer / "raft")
        assert "holds no Raft data of a Go peer" in self.refused(run, go_peer)

    def test_a_target_that_exists(self, run: Run, go_peer: Path, tmp_path: Path) -> None:
        (tmp_path / "ours").mkdir()
        assert "exists" in self.refused(run, go_peer, "-c", str(tmp_path / "ours"))

    def test_a_target_whose_parent_does_not(self, run: Run, go_peer: Path, tmp_path: Path) -> None:
        assert "is not a folder" in self.refused(run, go_peer, "-c", str(tmp_path / "a/b"))

    def test_a_target_within_what_moves_away(self, run: Run, go_peer: Path) -> None:
        assert "lies within" in self.refused(run, go_peer, "-c", str(go_peer / "raft/ours"))

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (lambda db: db.write_bytes(data_of(db)[:9000]), "the file ends here"),
            (lambda db: db.write_bytes(b"\0" * 8192 + data_of(db)[8192:]), "no meta page is whole"),
            (lambda db: db.write_bytes(b""), "the file has only 0 bytes"),
            (lambda db: db.write_bytes(data_of(db)[:12288] + bytes(1 << 16)), "damaged at byte"),
            (lambda db: db.write_bytes(of_version(data_of(db), 3, 4096)), "format version 3"),
        ],
    )
    def test_a_damaged_log(
        self, run: Run, go_peer: Path, change: Callable[[Path], object], why: str
    ) -> None:
        change(go_peer / "raft/raft.db")
        told = self.refused(run, go_peer)
        assert why in told
        assert str(go_peer / "raft/raft.db") in told

    def test_a_snapshot_that_is_no_pinset(self, run: Run, go_peer: Path) -> None:
        shutil.rmtree(go_peer / "raft")
        (go_peer / "raft").mkdir()
        fs = RealFileSystem()
        make_store(fs, str(go_peer / "raft/raft.db"), [members_entry(1)], term=1)
        make_snapshot(fs, str(go_peer / "raft"), 1, 1, [b"\xc1 no pinset"])
        assert "is no pinset" in self.refused(run, go_peer)

    def test_an_identity_that_others_may_read(self, run: Run, go_peer: Path) -> None:
        (go_peer / "identity.json").chmod(0o644)
        assert "chmod 600" in self.refused(run, go_peer)

    def test_settings_that_this_program_could_not_run_with(self, run: Run, go_peer: Path) -> None:
        service = json.loads(data_of(go_peer / "service.json"))
        service["cluster"]["follower_mode"] = True
        (go_peer / "service.json").write_text(json.dumps(service))
        assert "cluster.follower_mode" in self.refused(run, go_peer)

    def test_a_raft_file_that_tells_nothing(self, run: Run, go_peer: Path) -> None:
        shutil.rmtree(go_peer / "raft")
        (go_peer / "raft").write_bytes(b"\xff")
        (go_peer / "identity.json").unlink()
        assert "is not a peer's folder" in self.refused(run, go_peer)

    def test_a_peerstore_that_is_too_large(self, run: Run, go_peer: Path) -> None:
        (go_peer / "peerstore").write_bytes(bytes((1 << 20) + 1))
        assert "peerstore is larger than" in self.refused(run, go_peer)

    def test_a_journal_that_cannot_be_read(self, run: Run, go_peer: Path) -> None:
        (go_peer / "migration.json").write_text("{")
        assert "docs/migration.md" in self.refused(run, go_peer)


class TestUnfinished:
    @pytest.fixture
    def begun(self, go_peer: Path, tmp_path: Path) -> Handover:
        """Broken off when the old data had been renamed and nothing else."""
        handover = Handover(
            direction="from-go", peer_id=GO_ID, stamp="20260102T030405Z", base=str(go_peer),
            raft=str(go_peer / "raft"), target=str(tmp_path / "ours"),
        )  # fmt: skip
        Path(handover.staged).mkdir()
        (Path(handover.staged) / "raft").mkdir()
        begin(RealFileSystem(), handover)
        Path(handover.identity).rename(handover.retired_identity)
        Path(handover.raft).rename(handover.retired_raft)
        return handover

    def test_the_same_command_finishes_it(self, run: Run, begun: Handover) -> None:
        ran = run("migrate", "from-go", begun.base, "-c", str(begun.target))
        assert 0 == ran.code, ran.err
        assert f"what was begun at {begun.stamp}" in ran.out
        assert Path(str(begun.target)).is_dir()
        assert Path(begun.raft).is_file()
        assert not Path(begun.journal).exists()

    def test_programs_are_told_in_json(self, run: Run, begun: Handover) -> None:
        ran = run("migrate", "from-go", begun.base, "-c", str(begun.target), "--json")
        told = json.loads(ran.out)
        assert (GO_ID, begun.stamp) == (told["id"], told["resumed"])
        assert begun.retired_raft == told["backup"]

    @pytest.mark.parametrize(
        "other", [["from-go", "{base}"], ["to-go", "-c", "{base}"], ["from-go", "{base}", "-n"]]
    )
    def test_another_command_changes_nothing(
        self, run: Run, begun: Handover, other: list[str], tmp_path: Path
    ) -> None:
        before = look(tmp_path)
        ran = run("migrate", *(word.format(base=begun.base) for word in other))
        assert 2 == ran.code
        assert "is not finished" in ran.err
        assert before == look(tmp_path)

    @pytest.mark.parametrize("command", [["daemon"], ["init"], ["init", "--force"]])
    def test_nothing_else_is_done_with_the_folder(
        self, run: Run, begun: Handover, command: list[str], tmp_path: Path
    ) -> None:
        """An identity made anew would stand in the way of the peer's own."""
        before = look(tmp_path)
        ran = run(*command, "-c", begun.base)
        assert 2 == ran.code
        assert "was changing hands when it broke off" in ran.err
        assert before == look(tmp_path)

    def test_an_identity_made_meanwhile_replaces_nothing(self, run: Run, begun: Handover) -> None:
        own = data_of(Path(begun.retired_identity))
        Identity.generate().save(begun.identity)
        ran = run("migrate", "from-go", begun.base, "-c", str(begun.target))
        assert 1 == ran.code
        assert "Move the former away" in ran.err
        assert own == data_of(Path(begun.retired_identity))

    def test_it_waits_for_whoever_has_the_old_log_open(self, run: Run, begun: Handover) -> None:
        with (Path(begun.retired_raft) / "raft.db").open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ran = run("migrate", "from-go", begun.base, "-c", str(begun.target))
        assert 2 == ran.code
        assert "is locked" in ran.err
        assert Path(begun.journal).exists()


class TestToGo:
    @pytest.fixture
    def ours(self, run: Run, go_peer: Path) -> Path:
        run("migrate", "from-go", str(go_peer))
        with DataFolder.open(go_peer / "raft", ServerID(GO_ID)) as folder:
            folder.log.write(None, entries(9, 12, term=2))
        return go_peer

    def test_go_gets_what_we_had(self, run: Run, ours: Path) -> None:
        with DataFolder.open(ours / "raft", ServerID(GO_ID)) as folder:
            log = list(stored_entries(folder, folder.log.first_index()))
            state, snapshot = folder.stable.load(), folder.snapshots.newest()
        ran = run("migrate", "to-go", "-c", str(ours))
        assert 0 == ran.code, ran.err
        with GoFolder(RealFileSystem(), str(ours / "raft")) as go:
            assert (state, snapshot) == (go.state.hard_state, go.state.snapshot)
            assert log == list(go.entries())
        assert f"ipfs-cluster-service --config {ours} daemon" in ran.out

    @pytest.mark.parametrize("is_moved", [False, True])
    def test_go_gets_an_informer_without_which_it_does_not_start(
        self, run: Run, tmp_path: Path, is_moved: bool
    ) -> None:
        made, back = tmp_path / "made", tmp_path / "back"
        run("init", "-c", str(made))
        peer_id = Identity.load(made / "identity.json").peer_id
        DataFolder.open(made / "raft", ServerID(str(peer_id))).close()
        ran = run("migrate", "to-go", *([str(back)] if is_moved else []), "-c", str(made))
        assert 0 == ran.code, ran.err
        assert "service.json has no informer" in ran.err
        service = json.loads(data_of((back if is_moved else made) / "service.json"))
        assert "freespace" == service["informer"]["disk"]["metric_type"]

    def test_this_program_is_kept_from_starting(self, run: Run, ours: Path, tmp_path: Path) -> None:
        assert 0 == run("migrate", "to-go", str(tmp_path / "back"), "-c", str(ours)).code
        assert 2 == run("daemon", "-c", str(ours)).code
        assert 2 == run("daemon", "-c", str(tmp_path / "back")).code

    def test_a_rehearsal_leaves_our_data(self, run: Run, ours: Path) -> None:
        ran = run("migrate", "to-go", "-c", str(ours), "--dry-run", "--json")
        assert 0 == ran.code, ran.err
        assert json.loads(ran.out)["last_index"] == 12
        with DataFolder.open(ours / "raft", ServerID(GO_ID)) as folder:
            assert Index(12) == folder.log.last_index()
        assert {"raft", "identity.json"} <= {path.name for path in ours.iterdir()}
        assert [] == list(ours.glob("raft.hand*"))

    def test_a_folder_of_go_is_refused(self, run: Run, go_peer: Path) -> None:
        before = look(go_peer)
        ran = run("migrate", "to-go", "-c", str(go_peer))
        assert 2 == ran.code
        assert "is no data folder of this program" in ran.err
        assert before == look(go_peer)

    def test_a_running_peer_is_refused(self, run: Run, ours: Path) -> None:
        with DataFolder.open(ours / "raft", ServerID(GO_ID)):
            ran = run("migrate", "to-go", "-c", str(ours))
        assert 2 == ran.code
        assert "is locked" in ran.err

    def test_there_and_back_and_there_again(self, run: Run, ours: Path) -> None:
        """Also within one second: each has a backup of its own."""
        for _ in range(2):
            assert 0 == run("migrate", "to-go", "-c", str(ours)).code
            assert 0 == run("migrate", "from-go", str(ours)).code
        assert 3 == len(list(ours.glob("raft.taken-over-*")))
        assert 2 == len(list(ours.glob("raft.handed-over-*")))
