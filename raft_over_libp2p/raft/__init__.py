"""Raft, running: the trio driver around the core, the log thread, and who waits for them."""

from raft_over_libp2p.raft.fsm import FSM
from raft_over_libp2p.raft.server import Raft, RaftStatus

__all__ = ["FSM", "Raft", "RaftStatus"]
