from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from pathlib import Path

import pytest

from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.errors import CorruptLog, DataDirLocked, DiskFull, StorageError
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.types import Configuration, Index, LogType, ServerID, Term
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from tests.storage.conftest import Disk
from tests.storage.entries import entries, entry

ME = ServerID("12D3KooWMe")
OTHER = ServerID("12D3KooWOther")
CODEC = GoConfigurationCodec()
MEMBERS = Configuration.of_voters(ME, OTHER)
HOLDER = """
import sys
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.types import ServerID
with DataFolder.open(sys.argv[1], ServerID(sys.argv[2]), segment_bytes=4096):
    print("open", flush=True)
    sys.stdin.read()
"""


def open_folder(disk: Disk, server_id: ServerID = ME) -> DataFolder:
    return DataFolder.open(f"{disk.root}/raft", server_id, fs=disk.fs, segment_bytes=4096)


def tree(path: Path) -> dict[str, bytes | None]:
    return {
        str(each.relative_to(path)): each.read_bytes() if each.is_file() else None
        for each in path.rglob("*")
    }


def test_a_new_folder_is_fresh(disk: Disk) -> None:
    with open_folder(disk) as folder:
        assert folder.is_fresh
        assert HardState(Term(0)) == folder.stable.load()
        assert folder.log.last_index() == 0


def test_what_was_written_is_there_again(disk: Disk) -> None:
    with open_folder(disk) as folder:
        folder.stable.save(HardState(Term(2), OTHER))
        folder.log.write(None, entries(1, 3, term=2))
    with open_folder(disk) as folder:
        assert not folder.is_fresh
        assert HardState(Term(2), OTHER) == folder.stable.load()
        assert entries(1, 3, term=2) == list(folder.log.entries(Index(1), Index(3), 1 << 20))


@pytest.mark.parametrize("used", [HardState(Term(1)), HardState(Term(1), OTHER)])
def test_a_folder_with_a_term_or_vote_is_not_fresh(disk: Disk, used: HardState) -> None:
    with open_folder(disk) as folder:
        folder.stable.save(used)
        assert not folder.is_fresh
        with pytest.raises(StorageError, match="was used before"):
            folder.bootstrap(MEMBERS, CODEC)


def test_bootstrap_writes_entry_one_of_term_one_as_hashicorp_does(disk: Disk) -> None:
    with open_folder(disk) as folder:
        folder.bootstrap(MEMBERS, CODEC)
    expected = entry(1, 1, CODEC.encode(MEMBERS), LogType.CONFIGURATION)
    with open_folder(disk) as folder:
        assert HardState(Term(1)) == folder.stable.load()
        assert [expected] == list(folder.log.entries(Index(1), Index(1), 0))


def test_bootstrapping_twice_is_refused_and_changes_nothing(disk: Disk) -> None:
    with open_folder(disk) as folder:
        folder.bootstrap(MEMBERS, CODEC)
        with pytest.raises(StorageError, match="was used before"):
            folder.bootstrap(Configuration.of_voters(ME), CODEC)
        assert folder.log.last_index() == 1


def test_another_peers_folder_is_refused_by_name_and_left_as_it_is(tmp_path: Path) -> None:
    DataFolder.open(tmp_path / "raft", ME).close()
    before = tree(tmp_path)
    with pytest.raises(StorageError, match=f"raft belongs to peer {ME}, and this is {OTHER}"):
        DataFolder.open(tmp_path / "raft", OTHER)
    assert before == tree(tmp_path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    DataFolder.open(tmp_path / "raft", ME).close()
    stamp = tmp_path / "raft" / "FORMAT"
    stamp.write_text(json.dumps({**json.loads(stamp.read_text()), "version": 2}))
    with pytest.raises(StorageError, match=r"FORMAT says format 2; this program knows up to 1"):
        DataFolder.open(tmp_path / "raft", ME)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", '{"version": 1}', '{"version": 1, "peer_id": 5, "folder_id": ""}',
             '{"version": "x", "peer_id": "p", "folder_id": "00"}',
             '{"version": 1, "peer_id": "p", "folder_id": "zz"}']
)  # fmt: skip
def test_a_damaged_format_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    DataFolder.open(tmp_path / "raft", ME).close()
    (tmp_path / "raft" / "FORMAT").write_text(text)
    with pytest.raises(StorageError, match="raft/FORMAT"):
        DataFolder.open(tmp_path / "raft", ME)


def test_a_go_peers_folder_is_refused_naming_the_command_that_takes_it_over(
    tmp_path: Path,
) -> None:
    (tmp_path / "raft").mkdir(mode=0o700)
    (tmp_path / "raft" / "raft.db").write_bytes(b"bolt")
    before = tree(tmp_path)
    with pytest.raises(StorageError, match="raft-node migrate from-go"):
        DataFolder.open(tmp_path / "raft", ME)
    assert before == tree(tmp_path)


def test_a_folder_of_something_else_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "raft").mkdir(mode=0o700)
    (tmp_path / "raft" / "thesis.txt").write_text("...")
    before = tree(tmp_path)
    with pytest.raises(StorageError, match=r"has no FORMAT file but holds thesis\.txt"):
        DataFolder.open(tmp_path / "raft", ME)
    assert before == tree(tmp_path)


def test_a_folder_that_lost_its_format_file_is_refused(tmp_path: Path) -> None:
    DataFolder.open(tmp_path / "raft", ME).close()
    (tmp_path / "raft" / "FORMAT").unlink()
    with pytest.raises(StorageError, match="has no FORMAT file but holds snapshots, log"):
        DataFolder.open(tmp_path / "raft", ME)


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
def test_a_folder_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "raft").mkdir()
    (tmp_path / "raft").chmod(mode)
    with pytest.raises(StorageError, match=f"chmod 700 {tmp_path}/raft"):
        DataFolder.open(tmp_path / "raft", ME)


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "raft").touch()
    with pytest.raises(StorageError, match=f"{tmp_path}/raft is not a directory"):
        DataFolder.open(tmp_path / "raft", ME)


def test_everything_is_private(tmp_path: Path) -> None:
    DataFolder.open(tmp_path / "raft", ME).close()
    open_to_others = [each for each in tmp_path.rglob("*") if each.stat().st_mode & 0o077]
    assert [] == open_to_others


def test_a_second_opening_in_one_process_is_refused_and_the_first_stays_locked(
    tmp_path: Path,
) -> None:
    with DataFolder.open(tmp_path / "raft", ME):
        with pytest.raises(DataDirLocked, match=f"{tmp_path}/raft/LOCK is locked"):
            DataFolder.open(tmp_path / "raft", ME)
        script = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+'), 6)"
        locked = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "cluster.lock")],
            stderr=subprocess.DEVNULL,
        )
    assert locked.returncode == 1


def test_a_second_owner_in_another_process_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    path = str(tmp_path / "raft")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path, ME], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        before = tree(tmp_path)
        with pytest.raises(DataDirLocked, match="another peer, Python or Go, is running"):
            DataFolder.open(path, ME, segment_bytes=4096)
        assert before == tree(tmp_path)
        holder.kill()
    DataFolder.open(path, ME, segment_bytes=4096).close()


def test_a_go_daemons_lock_on_cluster_lock_is_respected(tmp_path: Path) -> None:
    script = (
        "import fcntl, sys\nf = open(sys.argv[1], 'w')\nfcntl.lockf(f, fcntl.LOCK_EX)\n"
        "print('locked', flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "cluster.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == b"locked\n"
        with pytest.raises(DataDirLocked, match=f"{tmp_path}/cluster.lock is locked"):
            DataFolder.open(tmp_path / "raft", ME)
        daemon.kill()


def test_a_folder_of_another_lock_path_leaves_cluster_lock_alone(tmp_path: Path) -> None:
    lock_path = str(tmp_path / "other.lock")
    DataFolder.open(tmp_path / "raft", ME, lock_path=lock_path).close()
    assert ["other.lock", "raft"] == sorted(each.name for each in tmp_path.iterdir())


def test_closing_lets_the_next_one_in(disk: Disk) -> None:
    folder = open_folder(disk)
    folder.close()
    folder.close()
    open_folder(disk).close()


def test_a_failed_opening_lets_go_of_its_locks(tmp_path: Path) -> None:
    DataFolder.open(tmp_path / "raft", ME).close()
    (tmp_path / "raft" / "vote").write_bytes(b"")
    with pytest.raises(CorruptLog, match="raft/vote"):
        DataFolder.open(tmp_path / "raft", ME)
    with (tmp_path / "raft" / "LOCK").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_no_space_for_a_new_folder_is_told_and_it_can_be_made_later() -> None:
    fs = FakeFileSystem(capacity_bytes=1000)
    with pytest.raises(DiskFull):
        open_folder(Disk(fs, ""))
    fs.capacity_bytes = None
    with open_folder(Disk(fs, "")) as folder:
        assert folder.is_fresh
