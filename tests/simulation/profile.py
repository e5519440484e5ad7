"""What one seed's world is like: its size, its settings and its mix of faults."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from raft_over_libp2p.config import RaftConfig
from tests.simulation.real_disk_profile import RealDiskProfile

__all__ = ["FAULT_KINDS", "Profile"]

FAULT_KINDS = (
    "drop",
    "duplicate",
    "slow_network",
    "reset",
    "partition",
    "crash",
    "crash_at_write",
    "slow_disk",
    "disk_full",
    "pause",
    "clock_drift",
    "timeout_now",
    "stranger",
    "change",
    "wipe",
    "hand_over",
    "snapshot",
    "slow_snapshot",
    "snapshot_broken",
    "snapshot_damaged",
    "snapshot_fails",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Probabilities are per message, per write or per node; ``*_every_s`` are mean intervals, 0 = never."""

    voters: int = 3
    nonvoters: int = 0
    spares: int = 0
    """Servers that run with an empty log and are members of nothing, until somebody adds them."""
    blank: int = 0
    """Servers that start with an empty log and are caught up by a bootstrapped one."""
    raft: RaftConfig = field(default_factory=RaftConfig)
    latency_s: tuple[float, float] = (0.0005, 0.005)
    call_timeout_s: float = 2.0
    flush_s: tuple[float, float] = (0.0002, 0.004)
    turn_s: float = 0.0
    """Longest time inputs wait for a turn, so that one turn takes in several; 0 = a turn each."""
    apply_s: float = 0.0
    client_every_s: float = 0.1
    proposal_size: int = 1
    read_share: float = 0.2
    fails_alone: bool = False
    """A call may fail while others on its stream go on; else the whole stream breaks."""
    has_small_limits: bool = False
    """The core's caches and windows are a few entries large."""
    go_peers: frozenset[int] = frozenset()
    """Which servers are Go peers, by their place; never all of those that vote at first."""
    go_is_1_6: bool = False
    """The Go peers are of a release without pre-vote."""
    go_races: bool = False
    """Their heartbeats change term and role beside the main loop (hashicorp/raft #695)."""
    uses_wire: bool = False
    """Every message is encoded and decoded as on a real stream."""
    real_disk: RealDiskProfile | None = None
    """The servers that are not Go peers run on the project's own storage code."""

    storms: frozenset[str] = frozenset()
    """Which of ``storms.STORMS`` strike."""

    drop: float = 0.0
    duplicate: float = 0.0
    slow_network: float = 0.0
    reset_every_s: float = 0.0
    partition_every_s: float = 0.0
    crash_every_s: float = 0.0
    crash_at_write: float = 0.0
    slow_disk: float = 0.0
    disk_full_every_s: float = 0.0
    pause_every_s: float = 0.0
    clock_drift: float = 0.0
    stranger_every_s: float = 0.0
    """A server outside every configuration asks for votes in a far term."""
    change_every_s: float = 0.0
    """Somebody adds, removes or demotes a server."""
    wipe_every_s: float = 0.0
    """A removed server loses its disk."""
    hand_over_every_s: float = 0.0
    """A leader is asked to hand over, to anybody, whether that is up or not."""
    snapshot_every_s: float = 0.0
    """Some server is asked for a snapshot now, beside those its settings ask for."""
    retain: int = 2
    """Snapshots a server keeps."""
    slow_snapshot: float = 0.0
    """To write one, to send one, and once more until what was sent arrives."""
    snapshot_broken: float = 0.0
    """A snapshot's stream breaks before its end."""
    snapshot_damaged: float = 0.0
    """What arrives has another checksum than it should."""
    snapshot_fails: float = 0.0
    """A snapshot cannot be written, apart from full disks."""
    timeout_now_every_s: float = 0.0
    """TimeoutNow in the name of a leader, to anybody, whether that is behind or not."""

    @staticmethod
    def draw_mixed(dice: random.Random, mixed: random.Random) -> Profile:
        """Draw a world, in a quarter of the cases with Go peers among its servers.

        ``mixed`` are dice of their own, so that worlds without Go peers are what they were.
        """
        profile = Profile.draw(dice)
        dice = mixed
        everyone = profile.voters + profile.nonvoters + profile.spares
        if everyone < 2 or dice.random() >= 0.25:
            return profile
        count = dice.randint(1, everyone - 1)
        peers = frozenset(dice.sample(range(everyone), count))
        if peers.issuperset(range(profile.voters)):
            peers -= {dice.randrange(profile.voters)}
        return replace(
            profile, go_peers=peers, go_is_1_6=dice.random() < 0.3, go_races=dice.random() < 0.1
        )

    @staticmethod
    def draw(dice: random.Random) -> Profile:
        """Draw a world; about half of the kinds of faults are off in each (swarm testing)."""
        on = {kind for kind in FAULT_KINDS if dice.random() < 0.5}

        def chance(kind: str, low: float, high: float) -> float:
            drawn = low * (high / low) ** dice.random()
            return drawn if kind in on else 0.0

        voters = dice.choice((1, 2, 3, 3, 3, 3, 3, 3, 4, 5, 5, 5))
        nonvoters = 1 if dice.random() < 0.2 else 0
        others = voters + nonvoters - 1
        blank = dice.randint(1, others) if others and dice.random() < 0.3 else 0
        raft = RaftConfig(
            heartbeat_timeout_s=dice.choice((0.6, 1.0, 1.0)),
            election_timeout_s=dice.choice((1.0, 1.0, 2.0)),
            max_append_entries=dice.choice((1, 2, 8, 64)),
            max_inflight_appends=dice.choice((1, 2, 4)),
            pre_vote_disabled=dice.random() < 0.2,
            snapshot_threshold=dice.choice((1, 4, 20, 8192)),
            snapshot_interval_s=dice.choice((0.1, 1.0, 5.0)),
            trailing_logs=dice.choice((0, 0, 3, 30)),
            join_timeout_s=dice.choice((1.0, 5.0, 30.0)),
            lease_reads=dice.random() < 0.4,
        )
        return Profile(
            voters=voters,
            nonvoters=nonvoters,
            blank=blank,
            raft=raft,
            latency_s=dice.choice(((0.0001, 0.001), (0.0005, 0.005), (0.01, 0.05))),
            call_timeout_s=dice.choice((0.5, 2.0, 10.0)),
            flush_s=dice.choice(((0.00005, 0.0005), (0.0002, 0.004), (0.005, 0.05))),
            turn_s=dice.choice((0.0, 0.0, 0.002, 0.02)),
            apply_s=dice.choice((0.0, 0.0, 0.005)),
            client_every_s=dice.choice((0.02, 0.1, 0.3)),
            proposal_size=dice.choice((1, 1, 4)),
            read_share=dice.choice((0.0, 0.2, 0.5)),
            fails_alone=dice.random() < 0.3,
            has_small_limits=dice.random() < 0.25,
            uses_wire=dice.random() < 0.15,
            drop=chance("drop", 0.002, 0.1),
            duplicate=chance("duplicate", 0.01, 0.2),
            slow_network=chance("slow_network", 0.002, 0.1),
            reset_every_s=chance("reset", 0.3, 5.0),
            partition_every_s=chance("partition", 1.0, 8.0),
            crash_every_s=chance("crash", 1.0, 10.0),
            crash_at_write=chance("crash_at_write", 0.001, 0.03),
            slow_disk=chance("slow_disk", 0.002, 0.05),
            disk_full_every_s=chance("disk_full", 2.0, 10.0),
            pause_every_s=chance("pause", 1.0, 8.0),
            clock_drift=chance("clock_drift", 0.01, 0.05),
            stranger_every_s=chance("stranger", 0.5, 10.0),
            timeout_now_every_s=chance("timeout_now", 1.0, 10.0),
            spares=dice.choice((0, 1, 2)) if "change" in on else 0,
            change_every_s=chance("change", 0.2, 5.0),
            wipe_every_s=chance("wipe", 0.5, 5.0),
            hand_over_every_s=chance("hand_over", 0.5, 10.0),
            snapshot_every_s=chance("snapshot", 0.3, 5.0),
            retain=dice.choice((2, 3)),
            slow_snapshot=chance("slow_snapshot", 0.05, 0.5),
            snapshot_broken=chance("snapshot_broken", 0.05, 0.5),
            snapshot_damaged=chance("snapshot_damaged", 0.02, 0.3),
            snapshot_fails=chance("snapshot_fails", 0.02, 0.3),
        )
