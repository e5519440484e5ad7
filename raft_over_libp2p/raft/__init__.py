"""Raft, running: the trio driver around the core, the log thread, and who waits for them."""

from raft_over_libp2p.raft.fsm import FSM
from raft_over_libp2p.raft.inspecting import RaftStatus
from raft_over_libp2p.raft.metrics import Durations, RaftMetrics
from raft_over_libp2p.raft.peer_status import PeerFailure, PeerStatus
from raft_over_libp2p.raft.request_id import RequestID
from raft_over_libp2p.raft.requesting import AppliedOnce, RequestOutcome, RequestState
from raft_over_libp2p.raft.server import Raft
from raft_over_libp2p.raft.state_machine import OpCodec, StateMachine

__all__ = [
    "FSM",
    "AppliedOnce",
    "Durations",
    "OpCodec",
    "PeerFailure",
    "PeerStatus",
    "Raft",
    "RaftMetrics",
    "RaftStatus",
    "RequestID",
    "RequestOutcome",
    "RequestState",
    "StateMachine",
]
