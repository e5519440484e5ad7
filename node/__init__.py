"""A peer of an IPFS Cluster: identity, swarm, consensus, RPC, HTTP API and command line in one.

Programs embed ``Consensus``; people run ``raft-node``. Names are imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from node.consensus import Consensus
    from node.consensus_config import ConsensusConfig
    from node.rpc.client import RpcClient
    from node.swarm.host import open_swarm

_HOMES = {
    "Consensus": "consensus",
    "ConsensusConfig": "consensus_config",
    "RpcClient": "rpc.client",
    "open_swarm": "swarm.host",
}

__all__ = ["Consensus", "ConsensusConfig", "RpcClient", "open_swarm"]


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for (PEP 562)."""
    module = _HOMES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
