"""hashicorp/raft's ``BootstrapCluster``, ``HasExistingState`` and ``GetConfiguration``."""

from __future__ import annotations

import pytest

from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.errors import ProposalRefused, StorageError
from raft_over_libp2p.storage.bootstrap import (
    bootstrap_cluster,
    get_configuration,
    has_existing_state,
)
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.storage.interface import Stores
from raft_over_libp2p.storage.memory import MemoryStores
from raft_over_libp2p.storage.recovery import load_initial_state
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.types import (
    Configuration,
    Index,
    LogType,
    Server,
    ServerID,
    Suffrage,
    Term,
)
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from tests.storage.entries import entries, entry
from tests.storage.snapshots import meta

ME, OTHER = ServerID("me"), ServerID("other")
MEMBERS = Configuration.of_voters(ME, OTHER)
CODEC = GoConfigurationCodec()


@pytest.fixture(params=["file", "memory"])
def stores(request: pytest.FixtureRequest) -> Stores:
    if request.param == "memory":
        return MemoryStores(ME)
    fs = FakeFileSystem()
    fs.mkdir("/peer")
    return DataFolder.open("/peer/raft", ME, fs=fs, segment_bytes=4096)


def take(stores: Stores, index: int, members: Configuration = MEMBERS) -> None:
    sink = stores.snapshots.create(meta(index, 1, members), 1000)
    sink.write(b"state")
    sink.finish()


def test_bootstrapping_makes_entry_one_of_term_one(stores: Stores) -> None:
    bootstrap_cluster(stores, MEMBERS)
    expected = entry(1, 1, CODEC.encode(MEMBERS), LogType.CONFIGURATION)
    assert [expected] == list(stores.log.entries(Index(1), Index(1), 0))
    assert HardState(Term(1)) == stores.stable.load()
    assert MEMBERS == get_configuration(stores)


def test_a_second_bootstrap_is_refused_by_name_and_changes_nothing(stores: Stores) -> None:
    bootstrap_cluster(stores, MEMBERS)
    with pytest.raises(StorageError, match=r"was used before \(term 1, last entry 1\)"):
        bootstrap_cluster(stores, Configuration.of_voters(ME))
    assert (1, MEMBERS) == (stores.log.last_index(), get_configuration(stores))


@pytest.mark.parametrize(
    ("servers", "why"),
    [
        ((), "need at least one voter"),
        ((Server(ME, ME, Suffrage.NONVOTER),), "need at least one voter"),
        ((Server(ME, ME), Server(ME, "elsewhere")), "found duplicate ID in configuration: me"),
        ((Server(ME, ME), Server(OTHER, ME)), "found duplicate address in configuration: me"),
        ((Server(ME, ""),), "empty address"),
        ((Server(ServerID(""), "a"),), "empty ID"),
        ((Server(OTHER, OTHER),), "me is not in the configuration"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_and_changes_nothing(
    stores: Stores, servers: tuple[Server, ...], why: str
) -> None:
    with pytest.raises(ProposalRefused, match=why):
        bootstrap_cluster(stores, Configuration(servers))
    assert not has_existing_state(stores)


def test_a_new_server_has_no_state_and_no_configuration(stores: Stores) -> None:
    assert (False, Configuration()) == (has_existing_state(stores), get_configuration(stores))


@pytest.mark.parametrize("used", [HardState(Term(1)), HardState(Term(1), OTHER)])
def test_a_term_or_vote_is_state(stores: Stores, used: HardState) -> None:
    stores.stable.save(used)
    assert has_existing_state(stores)


def test_an_entry_is_state(stores: Stores) -> None:
    stores.log.write(None, entries(1, 1))
    assert has_existing_state(stores)


def test_a_snapshot_is_state(stores: Stores) -> None:
    take(stores, 5)
    assert has_existing_state(stores)


def test_the_configuration_is_the_newest_of_snapshot_and_log(stores: Stores) -> None:
    first, second = Configuration.of_voters(ME), MEMBERS
    old = entry(3, 1, CODEC.encode(second), LogType.CONFIGURATION)
    stores.log.write(None, [*entries(1, 2), old, *entries(4, 6)])
    assert second == get_configuration(stores)
    take(stores, 5, first)
    assert first == get_configuration(stores)
    new = entry(7, 1, CODEC.encode(second), LogType.CONFIGURATION)
    stores.log.write(None, [new])
    assert second == get_configuration(stores)


def test_a_bootstrap_cut_short_is_finished_at_the_next_start() -> None:
    """Stores that nobody finishes when they are opened: the driver's start does it."""
    stores = MemoryStores(ME)
    stores.log.write(None, [entry(1, 1, CODEC.encode(MEMBERS), LogType.CONFIGURATION)])
    assert HardState(Term(1)) == load_initial_state(stores, CODEC).hard_state
    assert HardState(Term(1)) == stores.stable.load()
