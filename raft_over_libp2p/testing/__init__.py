"""For the tests of programs that embed Raft: a cluster in memory, and contracts as checks.

Nothing here needs pytest. Time is trio's: run a cluster on its autojump clock.
"""

from raft_over_libp2p.testing.cluster import ClusterServer, MemoryCluster, memory_cluster
from raft_over_libp2p.testing.contract import ContractBroken
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.testing.state_machine_contract import check_codec, check_state_machine
from raft_over_libp2p.testing.store_contract import (
    check_log_store,
    check_snapshot_store,
    check_stable_store,
)
from raft_over_libp2p.transport.memory import MemoryNetwork

__all__ = [
    "ClusterServer",
    "ContractBroken",
    "FakeFileSystem",
    "MemoryCluster",
    "MemoryNetwork",
    "check_codec",
    "check_log_store",
    "check_snapshot_store",
    "check_stable_store",
    "check_state_machine",
    "memory_cluster",
]
