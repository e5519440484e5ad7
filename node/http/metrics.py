"""``GET /raft/metrics``: what Raft did and how it stands, in the text form of Prometheus 0.0.4."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.raft import RaftMetrics, RaftStatus
from raft_over_libp2p.raft.metrics import BOUNDS_S, Durations

__all__ = ["CONTENT_TYPE", "metrics_text"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics_text(metrics: RaftMetrics, status: RaftStatus) -> str:
    """Return every number of ``metrics`` as ``raft_<name>``, and gauges of ``status``.

    Peers are told apart by the label ``peer``; only a leader knows how far they lag.
    """
    return "".join(f"{line}\n" for line in (*_counted(metrics), *_gauges(status)))


def _counted(metrics: RaftMetrics) -> Iterator[str]:
    for field in fields(metrics):
        value = getattr(metrics, field.name)
        if isinstance(value, Durations):
            yield from _histogram(f"raft_{field.name}_seconds", value)
        else:
            yield f"# TYPE raft_{field.name}_total counter"
            yield f"raft_{field.name}_total {value}"


def _histogram(name: str, durations: Durations) -> Iterator[str]:
    yield f"# TYPE {name} histogram"
    for bound, count in zip(BOUNDS_S, durations.within, strict=True):
        yield f'{name}_bucket{{le="{bound}"}} {count}'
    yield f'{name}_bucket{{le="+Inf"}} {durations.count}'
    yield f"{name}_sum {durations.total_s}"
    yield f"{name}_count {durations.count}"


def _gauges(status: RaftStatus) -> Iterator[str]:
    core = status.core
    for name, value in (
        ("term", core.term),
        ("is_leader", int(core.role is Role.LEADER)),
        ("has_leader", int(core.leader is not None)),
        ("last_index", core.last_index),
        ("commit_index", core.commit_index),
        ("applied_index", core.applied_index),
        ("snapshot_index", core.snapshot_index),
        ("voters", len(core.configuration.voters)),
        ("disk_is_full", int(status.is_disk_full)),
    ):
        yield f"# TYPE raft_{name} gauge"
        yield f"raft_{name} {value}"
    yield "# TYPE raft_peer_lag_entries gauge"
    for peer, told in status.peers.items():
        if told.lag_entries is not None:
            yield f'raft_peer_lag_entries{{peer="{peer}"}} {told.lag_entries}'
