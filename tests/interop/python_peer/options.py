"""The command line, flag for flag as the Go peer's (``go/peer/options.go``)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from multiaddr import Multiaddr

from keys.cluster_secret import ClusterSecret
from keys.identity import Identity
from node.config.durations import parse_duration
from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.types import Configuration, ServerID

__all__ = ["Options", "parse_options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    mode: str
    identity: Identity
    secret: ClusterSecret | None
    listen: Multiaddr
    data_folder: Path
    record: bool
    peers: dict[ServerID, Multiaddr | None]
    never_dial: list[ServerID]
    bootstrap: bool
    lose_snapshot_answers: bool
    trace: Path | None
    """Where to write what its core did, in mode ``raft`` (``tests/model/trace_file.py``)."""
    log: str
    raft: RaftConfig
    network_timeout_s: float
    leader_timeout_s: float
    commit_retries: int

    @property
    def first_configuration(self) -> Configuration:
        return Configuration.of_voters(*self.peers)


def parse_options(arguments: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(prog="python_peer", allow_abbrev=False)
    parser.add_argument("--mode", choices=["raft", "cluster"], default="raft")
    parser.add_argument("--seed", type=bytes.fromhex, required=True)
    parser.add_argument("--secret", type=ClusterSecret.from_hex)
    parser.add_argument("--listen", type=Multiaddr, default=Multiaddr("/ip4/127.0.0.1/tcp/0"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--record", type=_parse_bool, default=True)
    parser.add_argument("--peers", type=_parse_peers, default={})
    parser.add_argument("--never-dial", type=_parse_list, default=[])
    parser.add_argument("--bootstrap", type=_parse_bool, default=False)
    parser.add_argument("--lose-snapshot-answers", type=_parse_bool, default=False)
    parser.add_argument("--trace", type=Path)
    parser.add_argument("--log", default="error")
    parser.add_argument("--security", help="for Go; here the host offers Noise and TLS")
    defaults = RaftConfig()
    for name in _TIMERS:
        default = getattr(defaults, name)
        flag = "--" + name.removesuffix("_s").replace("_", "-")
        parser.add_argument(flag, dest=name, type=parse_duration, default=default)
    for name in _NUMBERS:
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, dest=name, type=int, default=getattr(defaults, name))
    parser.add_argument("--pre-vote-disabled", type=_parse_bool, default=False)
    parser.add_argument("--network-timeout", type=parse_duration, default=10.0)
    parser.add_argument("--wait-for-leader-timeout", type=parse_duration, default=15.0)
    parser.add_argument("--commit-retries", type=int, default=1, help="retries, as Go counts them")
    values = parser.parse_args(arguments)
    return Options(
        mode=values.mode,
        identity=Identity.from_seed(values.seed),
        secret=values.secret,
        listen=values.listen,
        data_folder=values.data / "raft",  # cluster.lock stands beside it
        record=values.record,
        peers=values.peers,
        never_dial=values.never_dial,
        bootstrap=values.bootstrap,
        lose_snapshot_answers=values.lose_snapshot_answers,
        trace=values.trace,
        log=values.log,
        raft=RaftConfig(
            pre_vote_disabled=values.pre_vote_disabled,
            **{name: getattr(values, name) for name in (*_TIMERS, *_NUMBERS)},
        ),
        network_timeout_s=values.network_timeout,
        leader_timeout_s=values.wait_for_leader_timeout,
        commit_retries=values.commit_retries + 1,
    )


_TIMERS = (
    "heartbeat_timeout_s",
    "election_timeout_s",
    "leader_lease_timeout_s",
    "commit_timeout_s",
    "snapshot_interval_s",
    "join_timeout_s",
)
_NUMBERS = ("max_append_entries", "snapshot_threshold", "trailing_logs")


def _parse_bool(text: str) -> bool:
    return {"true": True, "false": False}[text]


def _parse_list(text: str) -> list[ServerID]:
    return [ServerID(part) for part in text.split(",") if part]


def _parse_peers(text: str) -> dict[ServerID, Multiaddr | None]:
    peers: dict[ServerID, Multiaddr | None] = {}
    for part in text.split(","):
        server_id, _, address = part.partition("@")
        peers[ServerID(server_id)] = Multiaddr(address) if address else None
    return peers
