"""Raft Figure 8, which dice seldom find, step by step."""

from __future__ import annotations

from raft_over_libp2p.core.trace import Tracer
from tests.simulation.directed import Directed

__all__ = ["figure_8_c"]


def figure_8_c(tracer: Tracer | None = None) -> tuple[Directed, int]:
    """Play Raft Figure 8 (a) to (c); return the stage, and the index of the older term's entry."""
    stage = Directed(5, tracer=tracer)
    s1, s3, s5 = stage.elect(1), stage.server(3), stage.server(5)
    stage.run_for(0.5)
    # (a) s1 leads and brings an entry to s2 only.
    stage.cut({1}, {3, 4, 5})
    stage.write(s1)
    index = len(s1.log)
    stage.wait_for(lambda: len(stage.server(2).disk.image) == index, "s2 to store the entry")
    # (b) s1 dies; s5 is elected by s3 and s4; its own entry reaches nobody, and it dies.
    stage.kill(s1)
    stage.heal()
    stage.cut({2}, {3, 4, 5})
    stage.elect_at_once(5)
    stage.cut({5}, {3, 4})
    stage.wait_for(lambda: len(s5.disk.image) == index, "s5 to store its own entry")
    stage.kill(s5)
    stage.run_for(0.01)
    # (c) s1 is elected again and brings the old entry to s3, so that three of five hold it.
    stage.heal()
    stage.restart(s1)
    stage.elect_at_once(1)
    stage.cut({1}, {4})
    stage.wait_for(lambda: len(s3.disk.image) == index, "s3 to store the old entry")
    stage.cut_one_way(1, 3)
    stage.run_for(0.02)
    return stage, index
