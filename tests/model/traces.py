"""Has TLC judge a trace: whether it is a behaviour of the model."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from raft_over_libp2p.core.trace import TraceRecord
from tests.model.lines import Line, Lines
from tests.model.tlc import Verdict, run_tlc

__all__ = ["Judgement", "judge", "lines_of"]

_INVARIANTS: Final = (
    "ElectionSafety OneVotePerTerm LogMatching LeaderCompleteness StateMachineSafety "
    "CommitWithinLog OneOpenConfiguration SentCommitCovered SnapshotAgreed"
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a trace is a behaviour of the model; else ``refused`` is the line that is not."""

    is_accepted: bool
    lines: int
    refused: Line | None
    why: str


def _tla(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, str):
        return '"' + value + '"'
    if isinstance(value, frozenset):
        return "{" + ", ".join(_tla(each) for each in sorted(value)) + "}"
    if isinstance(value, Mapping):
        return "[" + ", ".join(f"{key} |-> {_tla(each)}" for key, each in value.items()) + "]"
    return "<<" + ", ".join(_tla(each) for each in value) + ">>"


def lines_of(records: Iterable[TraceRecord]) -> list[Line]:
    """Return the lines of a trace, in its order."""
    lines: list[Line] = []
    translation = Lines(lines.append)
    for record in records:
        translation.take(record)
    return lines


def _prepared(trace: Iterable[Line], unseen: Collection[str]) -> tuple[dict[str, Line], list[Line]]:
    """Return what each server started from, and the lines after, without what is said again."""
    starts: dict[str, Line] = {}
    lines: list[Line] = []
    said: dict[str, list[Line]] = {}
    for line in trace:
        server, do, what = line["i"], line["do"], line.get("what")
        if server not in starts:
            if do != "start" or line["first"] != 1:
                raise ValueError(f"the trace of {server} does not begin with its first start")
            starts[server] = {key: line[key] for key in ("term", "vote")} | {"log": line["entries"]}
            said[server] = []
            continue
        if do == "is" or what == "term":
            if line in said[server]:
                continue  # nothing became of this server since
            said[server].append(line)
        else:
            said[server].clear()
        if do == "hears" and line["from"] in unseen:
            lines.append({**line, "do": "learns"})
        elif do != "hears" or what != "entries":
            lines.append(line)
    return starts, lines


def _term_of(line: Line) -> int:
    return max(line.get("term", 0), line.get("at", {}).get("term", 0))


def judge(trace: Iterable[Line], servers: Iterable[str], *, go: Iterable[str] = ()) -> Judgement:
    """Have TLC judge the trace of a cluster of ``servers``; those in ``go`` left no trace.

    Raises:
        ValueError: a server's trace does not begin with its first start.

    """
    everybody, unseen = frozenset(servers), frozenset(go)
    starts, lines = _prepared(trace, unseen)
    last_term = max(_term_of(line) for line in lines) + 1
    for server in everybody - starts.keys():
        starts[server] = {"log": [], "term": 0, "vote": "nobody"}
    the_lines = ",\n".join(_tla(line) for line in lines)
    logs = " @@ ".join(f"({_tla(server)} :> {_tla(start)})" for server, start in starts.items())
    text = f"""---- MODULE TraceRun ----
EXTENDS RaftTrace
TheLines == <<
{the_lines}
>>
TheLogs == {logs}
TheCampaigner == [t \\in 1..{last_term} |-> Server]
====
"""
    configuration = f"""SPECIFICATION TraceSpec
CONSTANTS
 Server = {_tla(everybody)}
 Voters = {{}}
 Nonvoters = {{}}
 Go = {_tla(unseen)}
 Unseen = {_tla(unseen)}
 Crashers = {{}}
 Synchronous = FALSE
 Campaigner <- TheCampaigner
 MaxTerm = {last_term}
 MaxLog = 1000000
 MaxBatch = 1000000
 Targets = {{}}
 PreVote = FALSE
 Snapshots = TRUE
 Transfers = TRUE
 Faults = {{}}
 Lines <- TheLines
 StartLogs <- TheLogs
INVARIANTS {_INVARIANTS}
"""
    return _judgement(run_tlc("TraceRun", text, configuration, workers=1), lines)


def _judgement(verdict: Verdict, lines: list[Line]) -> Judgement:
    if verdict.is_complete:
        return Judgement(True, len(lines), None, "")
    reached = re.findall(r"/\\ line = (\d+)", verdict.text)
    if verdict.violated and reached:
        return Judgement(False, len(lines), lines[int(reached[-1]) - 2], verdict.violated)
    if "Deadlock reached" in verdict.text and reached:
        return Judgement(False, len(lines), lines[int(reached[-1]) - 1], "no step of the model")
    message = f"TLC did not judge the trace: {verdict.error or verdict.text[-2000:]}"
    raise RuntimeError(message)
