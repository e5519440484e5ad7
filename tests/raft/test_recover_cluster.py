"""hashicorp/raft's ``RecoverCluster``: one or some servers go on when the majority is lost."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack

import pytest
import trio

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.errors import (
    CorruptSnapshot,
    DataDirLocked,
    DiskFull,
    ProposalRefused,
    StorageError,
)
from raft_over_libp2p.raft.recover_cluster import recover_cluster
from raft_over_libp2p.storage.bootstrap import bootstrap_cluster, get_configuration
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.storage.interface import Stores
from raft_over_libp2p.storage.memory import MemoryStores
from raft_over_libp2p.storage.recovery import load_initial_state
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.transport.memory import MemoryNetwork
from raft_over_libp2p.types import Configuration, Index, LogType, Server, Suffrage, Term
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from tests.raft.cluster import IDS, Cluster, ListFSM, Node, running, wait_until_equal
from tests.storage.entries import entry
from tests.storage.snapshots import meta

ME, OTHER = IDS[:2]
THREE = Configuration.of_voters(*IDS[:3])
ALONE = Configuration.of_voters(ME)
CODEC = GoConfigurationCodec()


def open_folder(fs: FakeFileSystem) -> DataFolder:
    return DataFolder.open("/peer/raft", ME, fs=fs, segment_bytes=4096, entropy=bytes)


def new_disk() -> FakeFileSystem:
    fs = FakeFileSystem()
    fs.mkdir("/peer")
    fs.sync_directory("/")
    return fs


@pytest.fixture(params=["file", "memory"])
def stores(request: pytest.FixtureRequest) -> Stores:
    return MemoryStores(ME) if request.param == "memory" else open_folder(new_disk())


def fill(stores: Stores) -> None:
    """A member of three: a snapshot at 4, commands at 5 and 7, a change of members at 6."""
    bootstrap_cluster(stores, THREE)
    stores.stable.save(HardState(Term(2), OTHER))
    change = entry(6, 2, CODEC.encode(Configuration.of_voters(*IDS[:4])), LogType.CONFIGURATION)
    stores.log.write(None, [entry(n, 2, b"old") for n in (2, 3, 4)])
    stores.log.write(None, [entry(5, 2, b"five"), change, entry(7, 2, b"seven")])
    sink = stores.snapshots.create(meta(4, 2, THREE), 1000)
    sink.write(json.dumps([b"snapshot".hex()]).encode())
    sink.finish()


def start_of(stores: Stores) -> tuple[list[bytes], Configuration, int]:
    """What a server that starts now would hold when all of its log were applied."""
    initial = load_initial_state(stores, CODEC)
    fsm = ListFSM()
    info = stores.snapshots.newest_restorable()
    if info is not None:
        fsm.adopt(fsm.restore([stores.snapshots.open(info).read(1 << 20)]))
    first, last = Index(initial.applied_index + 1), stores.log.last_index()
    kept = stores.log.entries(first, last, 1 << 20)
    fsm.apply([e for e in kept if e.type is LogType.COMMAND])
    return fsm.applied, get_configuration(stores), last


def test_snapshot_and_log_become_one_snapshot_with_the_new_members(stores: Stores) -> None:
    fill(stores)
    recovered = recover_cluster(stores, ListFSM(), ALONE)
    assert (7, 2, ALONE, 1) == (
        recovered.snapshot.index,
        recovered.snapshot.term,
        recovered.snapshot.configuration,
        recovered.snapshot.configuration_index,
    )
    assert (3, IDS[:4]) == (recovered.entries_applied, recovered.previous.ids)
    assert ([b"snapshot", b"five", b"seven"], ALONE, 7) == start_of(stores)
    assert (8, 7) == (stores.log.first_index(), stores.log.last_index())
    assert HardState(Term(2), OTHER) == stores.stable.load()


def test_recovering_again_changes_the_members_once_more(stores: Stores) -> None:
    """At the same entry: the later snapshot counts, also when the clock went back."""
    fill(stores)
    recover_cluster(stores, ListFSM(), ALONE)
    two = Configuration.of_voters(ME, OTHER)
    assert 0 == recover_cluster(stores, ListFSM(), two).entries_applied
    assert ([b"snapshot", b"five", b"seven"], two, 7) == start_of(stores)


def test_a_clock_that_went_back_does_not_bring_back_the_old_members(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(stores)
    recover_cluster(stores, ListFSM(), ALONE)
    monkeypatch.setattr("time.time_ns", lambda: 5_000_000)
    two = Configuration.of_voters(ME, OTHER)
    recover_cluster(stores, ListFSM(), two)
    assert two == get_configuration(stores)


def test_a_rehearsal_changes_nothing(stores: Stores) -> None:
    fill(stores)
    before = start_of(stores)
    recovered = recover_cluster(stores, ListFSM(), ALONE, is_rehearsal=True)
    assert (7, ALONE) == (recovered.snapshot.index, recovered.snapshot.configuration)
    assert before == start_of(stores)


@pytest.mark.parametrize(
    ("servers", "why"),
    [
        ((Server(ME, ME, Suffrage.NONVOTER),), "need at least one voter"),
        ((Server(OTHER, OTHER),), "n1, this server, is not in the configuration"),
        ((Server(ME, ME), Server(ME, "b")), "duplicate ID"),
    ],
)
def test_members_that_cannot_be_are_refused_and_nothing_changes(
    stores: Stores, servers: tuple[Server, ...], why: str
) -> None:
    fill(stores)
    before = start_of(stores)
    with pytest.raises(ProposalRefused, match=why):
        recover_cluster(stores, ListFSM(), Configuration(servers))
    assert before == start_of(stores)


def test_a_server_without_state_is_not_recovered(stores: Stores) -> None:
    with pytest.raises(StorageError, match="holds no state, so there is nothing to recover"):
        recover_cluster(stores, ListFSM(), ALONE)


def test_a_term_alone_is_no_state_to_recover(stores: Stores) -> None:
    stores.stable.save(HardState(Term(3)))
    with pytest.raises(StorageError, match="holds a term and nothing else"):
        recover_cluster(stores, ListFSM(), ALONE)


def test_a_snapshot_that_does_not_decode_is_named(stores: Stores) -> None:
    fill(stores)
    sink = stores.snapshots.create(meta(6, 2, THREE), 1000)
    sink.write(b"no JSON")
    sink.finish()
    with pytest.raises(CorruptSnapshot, match=r"2-6-1000 in .* does not decode"):
        recover_cluster(stores, ListFSM(), ALONE)


def test_a_state_that_cannot_be_kept_is_told(stores: Stores) -> None:
    class Inconsistent(ListFSM):
        def snapshot(self) -> object:  # type: ignore[override]
            raise ValueError("an inconsistent state is not kept")

    fill(stores)
    before = start_of(stores)
    with pytest.raises(StorageError, match="cannot be kept: an inconsistent state"):
        recover_cluster(stores, Inconsistent(), ALONE)
    assert before == start_of(stores)


def test_a_full_disk_changes_nothing() -> None:
    fs = new_disk()
    folder = open_folder(fs)
    fill(folder)
    before = start_of(folder)
    fs.full_writes = {fs.writes + 1}
    with pytest.raises(DiskFull):
        recover_cluster(folder, ListFSM(), ALONE)
    assert before == start_of(folder)


def test_a_folder_in_use_is_refused() -> None:
    fs = new_disk()
    with open_folder(fs) as folder:
        fill(folder)
        with pytest.raises(DataDirLocked):
            open_folder(fs)


def test_a_crash_at_any_step_leaves_the_old_or_the_new_server() -> None:
    fs = new_disk()
    folder = open_folder(fs)
    fill(folder)
    old = start_of(folder)
    new = (old[0], ALONE, 7)
    seen = set()
    images = 0

    def check() -> None:
        nonlocal images
        for image in fs.crash_images(5_000):
            images += 1
            with open_folder(image) as found:
                start = start_of(found)
                assert start in (old, new)
                assert not found.snapshots.skipped
                seen.add(start == new)

    fs.after_change = check
    recover_cluster(folder, ListFSM(), ALONE)
    fs.after_change = None
    assert new == start_of(folder)
    assert {False, True} == seen
    assert images > 50


async def test_what_is_left_of_five_goes_on_with_all_that_one_of_them_had(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Three of five are lost; the follower that lagged gets the rest from the other."""
    async with running(5) as cluster:
        leader = await cluster.leader()
        left = [leader, cluster.followers(leader)[0]]
        await leader.raft.apply_many([b"%d" % n for n in range(20)], timeout_s=5)
        members = Configuration.of_voters(*(node.server_id for node in left))
    for node in left:
        with open_stopped(node) as folder:
            recover_cluster(folder, ListFSM(), members)
    again = Cluster(0, RaftConfig())
    again.network = MemoryNetwork(delay_s=0.001)
    again.nodes = {node.server_id: node for node in left}
    async with AsyncExitStack() as stack:
        for node in left:
            await stack.enter_async_context(node.open(again.network, again.config))
        leader = await again.leader()
        await leader.raft.apply(b"after", timeout_s=5)
        await wait_until_equal(left, [*(b"%d" % n for n in range(20)), b"after"])
        assert members == leader.raft.configuration()


def open_stopped(node: Node) -> DataFolder:
    return DataFolder.open("/peer/raft", node.server_id, fs=node.fs, segment_bytes=65536)
