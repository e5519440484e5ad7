"""The bounds within which the model is checked, and the seeded faults it must find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.model.tlc import Verdict, run_tlc

__all__ = ["BOUNDS", "DEEP", "FAULTS", "INVARIANTS", "LARGE", "Bound", "check"]

INVARIANTS: Final = (
    "ElectionSafety",
    "OneVotePerTerm",
    "VoteDurable",
    "AckDurable",
    "LogMatching",
    "LeaderCompleteness",
    "StateMachineSafety",
    "CommitWithinLog",
    "AgreedIsHeld",
    "OneOpenConfiguration",
    "ChangeAfterOwnCommit",
    "TermsGrow",
    "DiskBehindMemory",
    "SentCommitCovered",
    "SnapshotAgreed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One configuration of the model; ``campaigners`` are for terms 2, 3 ... by letters."""

    name: str
    servers: str = "abc"
    voters: str = "abc"
    nonvoters: str = ""
    go: str = ""
    campaigners: tuple[str, ...] = ("a", "b")
    crashers: str = "abcd"
    is_synchronous: bool = False
    """Each change is durable at once, so that nothing is lost and longer runs fit in."""
    max_log: int = 3
    max_batch: int = 1
    targets: tuple[tuple[str, str], ...] = ()
    """Configurations that may be proposed: voters, nonvoters."""
    pre_vote: bool = False
    snapshots: bool = False
    transfers: bool = False
    fault: str = ""
    caught_by: str = ""
    """The invariant that ``fault`` breaks."""
    is_symmetric: bool = False
    traces: int = 0
    """Simulate so many random runs instead of looking at every state."""
    depth: int = 60
    states: int = 0
    """How many distinct states there are within it, if that was recorded."""
    is_cheap: bool = True
    """Within a few seconds, so that every test run can have it."""


def _set(letters: str) -> str:
    return "{" + ", ".join(letters) + "}"


def check(bound: Bound, *, workers: int = 2, limit_s: float = 3600.0) -> Verdict:
    """Run TLC on the model within ``bound``.

    Raises:
        subprocess.TimeoutExpired: it needs longer than ``limit_s``.

    """
    campaigner = " @@ ".join(
        f"({term} :> {_set(who)})" for term, who in enumerate(bound.campaigners, 2)
    )
    targets = ", ".join(f"Conf({_set(voters)}, {_set(others)})" for voters, others in bound.targets)
    text = f"""---- MODULE Bounded ----
EXTENDS Raft, TLC
CONSTANTS {", ".join(bound.servers)}
TheCampaigner == {campaigner}
TheTargets == {{{targets}}}
TheFaults == {{{f'"{bound.fault}"' if bound.fault else ""}}}
Symmetric == Permutations({_set(bound.servers)})
====
"""
    invariants = (bound.caught_by,) if bound.fault else INVARIANTS
    configuration = f"""SPECIFICATION Spec
CONSTANTS
{chr(10).join(f" {letter} = {letter}" for letter in bound.servers)}
 Server = {_set(bound.servers)}
 Voters = {_set(bound.voters)}
 Nonvoters = {_set(bound.nonvoters)}
 Go = {_set(bound.go)}
 Crashers = {_set("".join(sorted({*bound.crashers} & {*bound.servers})))}
 Synchronous = {str(bound.is_synchronous).upper()}
 Campaigner <- TheCampaigner
 MaxTerm = {len(bound.campaigners) + 1}
 MaxLog = {bound.max_log}
 MaxBatch = {bound.max_batch}
 Targets <- TheTargets
 PreVote = {str(bound.pre_vote).upper()}
 Snapshots = {str(bound.snapshots).upper()}
 Transfers = {str(bound.transfers).upper()}
 Faults <- TheFaults
{"SYMMETRY Symmetric" if bound.is_symmetric else ""}
INVARIANTS {" ".join(invariants)}
CHECK_DEADLOCK FALSE
"""
    simulate = ("-simulate", f"num={bound.traces}", "-depth", str(bound.depth), "-seed", "1")
    options = simulate if bound.traces else ()
    return run_tlc(
        "Bounded", text, configuration, options=options, workers=workers, limit_s=limit_s
    )


BOUNDS: Final = (
    Bound(
        name="an election in which all campaign",
        campaigners=("abc",),
        is_symmetric=True,
        states=28506,
    ),
    Bound(name="two leaders", crashers="", is_synchronous=True, states=18843),
    Bound(
        name="two leaders and crashes",
        campaigners=("a", "b"),
        max_log=2,
        crashers="ab",
        states=48942,
        is_cheap=False,
    ),
    Bound(
        name="pre-vote and transfer",
        states=114905,
        is_cheap=False,
        campaigners=("a", "b"),
        max_log=2,
        crashers="",
        pre_vote=True,
        transfers=True,
    ),
    Bound(
        name="changing members",
        voters="ab",
        campaigners=("a",),
        crashers="",
        targets=(("abc", ""), ("b", ""), ("ab", "c")),
        states=6989,
    ),
    Bound(
        name="changing members twice",
        is_cheap=False,
        voters="ab",
        campaigners=("a",),
        crashers="",
        targets=(("abc", ""), ("b", ""), ("ab", "c")),
        max_log=4,
        states=84935,
    ),
    Bound(name="snapshots", servers="ab", voters="ab", snapshots=True, states=9834),
    Bound(name="one Go server", go="b", max_log=2, crashers="b", transfers=True, states=32736),
)
"""Checked to the end; the cheap ones in every test run."""

LARGE: Final = (
    Bound(name="two terms, anybody", campaigners=("abc", "abc"), max_log=2, is_symmetric=True),
    Bound(name="three leaders", campaigners=("a", "b", "a"), max_log=4),
    Bound(
        name="a Go server, two entries", go="b", campaigners=("a", "b"), max_log=3, transfers=True
    ),
)
"""Checked to the end with FULL=1."""

DEEP: Final = (
    Bound(
        name="five terms, changes, snapshots, a Go server",
        servers="abcd",
        voters="abc",
        go="c",
        campaigners=("abcd", "abcd", "abcd", "abcd"),
        targets=(("abcd", ""), ("ab", ""), ("abc", "d"), ("bcd", ""), ("abd", "")),
        max_log=8,
        max_batch=3,
        snapshots=True,
        transfers=True,
        traces=600,
        depth=120,
    ),
)
"""Gone through at random, so many runs a core; ten times as many with FULL=1."""

FAULTS: Final = (
    Bound(
        name="vote",
        fault="vote not stored",
        caught_by="VoteDurable",
        campaigners=("ab",),
    ),
    Bound(
        name="vote",
        fault="vote forgotten",
        caught_by="OneVotePerTerm",
        campaigners=("ab",),
    ),
    Bound(
        name="reply",
        fault="reply before write",
        caught_by="ElectionSafety",
        campaigners=("ab",),
    ),
    Bound(
        name="ack",
        fault="acknowledged before write",
        caught_by="AckDurable",
        campaigners=("a",),
    ),
    Bound(
        name="older term",
        fault="older term by counting",
        traces=40_000,
        is_cheap=False,
        caught_by="LeaderCompleteness",
        campaigners=("a", "b", "a", "b"),
        crashers="",
        is_synchronous=True,
        max_log=3,
    ),
    Bound(
        name="quorum",
        fault="half is a majority",
        caught_by="ElectionSafety",
        servers="ab",
        voters="ab",
        campaigners=("ab",),
    ),
    Bound(
        name="log check",
        fault="vote without log check",
        caught_by="LeaderCompleteness",
        campaigners=("a", "b"),
        crashers="",
        is_synchronous=True,
    ),
    Bound(
        name="previous",
        fault="previous term unchecked",
        caught_by="LogMatching",
        campaigners=("a", "b"),
        crashers="",
        is_synchronous=True,
    ),
    Bound(
        name="truncation",
        fault="matching entries truncated",
        caught_by="AckDurable",
        campaigners=("a",),
    ),
    Bound(
        name="leader's own",
        fault="leader counts before its write",
        caught_by="AgreedIsHeld",
        campaigners=("a",),
    ),
    Bound(
        name="Go's commit",
        fault="sent commit uncapped",
        caught_by="StateMachineSafety",
        go="b",
        campaigners=("b", "a"),
        max_log=4,
        crashers="",
        is_synchronous=True,
    ),
    Bound(
        name="own last index",
        fault="commit up to own last",
        caught_by="StateMachineSafety",
        go="c",
        campaigners=("b", "c"),
        max_log=4,
        crashers="",
        is_synchronous=True,
    ),
    Bound(
        name="two changes",
        fault="two configurations at once",
        caught_by="OneOpenConfiguration",
        voters="ab",
        campaigners=("a",),
        targets=(("abc", ""), ("ab", "c")),
        max_log=4,
        crashers="",
        is_synchronous=True,
    ),
    Bound(
        name="Ongaro 2015",
        fault="change before own commit",
        caught_by="ChangeAfterOwnCommit",
        campaigners=("a", "b"),
        crashers="",
        is_synchronous=True,
        targets=(("ab", ""),),
        max_log=4,
    ),
    Bound(
        name="nonvoter",
        fault="nonvoter counts",
        caught_by="AgreedIsHeld",
        voters="ab",
        nonvoters="c",
        campaigners=("a",),
    ),
    Bound(
        name="late snapshot",
        fault="late snapshot",
        caught_by="AgreedIsHeld",
        servers="ab",
        voters="a",
        go="a",
        campaigners=("a", "b", "a"),
        crashers="",
        is_synchronous=True,
        targets=(("ab", ""),),
        max_log=5,
        snapshots=True,
    ),
    Bound(
        name="stale tail",
        fault="stale tail kept",
        caught_by="TermsGrow",
        campaigners=("a", "b"),
        crashers="",
        is_synchronous=True,
        snapshots=True,
    ),
)
"""Each switches one rule of the model off; TLC must say which invariant that breaks."""
