"""``raft-node recover`` on a real folder: what it says, what it does, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from keys.identity import Identity
from node.config import Folder, load_config
from raft_over_libp2p.storage.bootstrap import bootstrap_cluster, get_configuration
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.types import Configuration, LogType, ServerID
from tests.node.cli_runner import Ran, Run
from tests.node.test_migrate import look
from tests.storage.entries import entry

LOST = ServerID("12D3KooWGeL3oCZrZwtpBA4VfA4hNCY1rj9wE92uMtbG5hF2fNdN")
LOST_TOO = ServerID("12D3KooWMouSYH5NswSHYzd2CaDBS7XPvHCyHswANCS2W24r74E6")


class Peer:
    """A stopped peer of three, with two pins in its log."""

    def __init__(self, run: Run, path: Path) -> None:
        self.run = run
        self.folder = Folder(path / "peer")
        assert 0 == run("-c", str(self.folder.path), "init").code
        self.id = ServerID(str(Identity.load(self.folder.identity_json).peer_id))
        self.data = load_config(self.folder, {}).data_folder
        with self.open() as stores:
            bootstrap_cluster(stores, Configuration.of_voters(self.id, LOST, LOST_TOO))
            stores.log.write(None, [entry(2, 1, kind=LogType.NOOP), entry(3, 1, kind=LogType.NOOP)])
        self.file = path / "peers.json"
        self.write([{"id": self.id, "address": self.id}])

    def open(self) -> DataFolder:
        return DataFolder.open(self.data, self.id)

    def write(self, peers: object) -> None:
        self.file.write_text(json.dumps(peers))

    def recover(self, *options: str) -> Ran:
        return self.run("recover", str(self.file), "-c", str(self.folder.path), *options)

    def members(self) -> Configuration:
        with self.open() as stores:
            return get_configuration(stores)


@pytest.fixture
def peer(run: Run, tmp_path: Path) -> Peer:
    return Peer(run, tmp_path)


def test_the_members_of_the_file_take_the_place_of_the_old_ones(peer: Peer) -> None:
    ran = peer.recover()
    assert 0 == ran.code, ran.err
    assert "Writes that were acknowledged may be missing" in ran.err
    lines = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert lines["state"].startswith("up to entry 3 of term 1, 3 of them from the log")
    assert f"{LOST_TOO}" in ran.out
    assert f"{peer.id} voter (this peer)" in ran.out
    assert Configuration.of_voters(peer.id) == peer.members()


def test_a_dry_run_says_the_same_and_keeps_the_members(peer: Peer) -> None:
    before = peer.members()
    ran = peer.recover("--dry-run")
    assert 0 == ran.code, ran.err
    assert "nothing was changed" in ran.out
    assert before == peer.members()


def test_programs_get_json(peer: Peer) -> None:
    told = json.loads(peer.recover("--json").out)
    assert (peer.id, 3, 1, 3, False) == (
        told["id"], told["index"], told["term"], told["entries_applied"], told["dry_run"],
    )  # fmt: skip
    assert [peer.id, LOST, LOST_TOO] == told["previous"]
    assert [{"id": peer.id, "suffrage": "voter"}] == told["members"]


def test_a_running_peer_is_refused(peer: Peer) -> None:
    with peer.open():
        before = look(peer.data)
        ran = peer.recover()
        assert before == look(peer.data)
    assert 2 == ran.code
    assert "is running on this folder" in ran.err


@pytest.mark.parametrize(
    ("peers", "why"),
    [
        ([], "need at least one voter"),
        ([LOST], "this server, is not in the configuration"),
        (["somebody"], "'somebody' is not a peer ID"),
        ([{"id": LOST, "address": "10.0.0.1:9096"}], f"the address of {LOST} must be its ID"),
        ({}, "peers.json: it is not a JSON list of peers"),
    ],
)
def test_members_that_cannot_be_are_refused_and_nothing_changes(
    peer: Peer, peers: object, why: str
) -> None:
    peer.write(peers)
    before = peer.members()
    ran = peer.recover()
    assert (2, before) == (ran.code, peer.members())
    assert why in ran.err
    assert "Nothing was changed" in ran.err


def test_a_missing_file_is_named(peer: Peer) -> None:
    peer.file.unlink()
    ran = peer.recover()
    assert 2 == ran.code
    assert f"{peer.file} cannot be read: No such file or directory" in ran.err


def test_a_folder_without_data_is_refused_and_not_made(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert 0 == run("-c", str(folder), "init").code
    ran = run("recover", "peers.json", "-c", str(folder))
    assert 2 == ran.code
    assert "there is nothing to recover" in ran.err
    assert not (folder / "raft").exists()


def test_what_is_no_peers_folder_is_refused(run: Run, tmp_path: Path) -> None:
    ran = run("recover", "peers.json", "-c", str(tmp_path))
    assert 2 == ran.code
    assert "holds no identity.json" in ran.err
