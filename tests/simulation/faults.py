"""Faults seeded into the real core, one line each, to show that the checkers see them.

A fault replaces a piece of one function's source. When the core changes and the piece is no
longer there, the fault refuses to be seeded: then it must be written anew, or a simulator
that catches nothing would look like a core that has no bugs.
"""

from __future__ import annotations

import importlib
import inspect
import random
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from types import FunctionType, MappingProxyType
from typing import Any

from tests.simulation.profile import Profile

__all__ = [
    "EARLY_ANSWER_CONFIRMS_A_READ",
    "FAULTS",
    "NONVOTER_CONFIRMS_A_READ",
    "TRUNCATED_IS_ACKNOWLEDGED",
    "Fault",
    "fault_of",
]

_CORE = "raft_over_libp2p.core"
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """``where`` is ``module:function`` or ``module:Class.method`` of ``package``."""

    name: str
    where: str
    old: str
    new: str
    caught_by: frozenset[str]
    """Checkers any of which may be the first to see it."""
    within_seeds: int = 150
    first_seed: int = 0
    """Where to begin: dice that found the fault when it was written."""
    world: Mapping[str, Any] = field(default_factory=dict)
    """What is not left to the dice: fields of ``Profile``, so that few seeds are enough."""
    raft: Mapping[str, Any] = field(default_factory=dict)
    """The same, of ``RaftConfig``."""
    is_judged: bool = False
    """The naive specification is asked as well."""
    with_: tuple[Fault, ...] = field(default=(), kw_only=True)
    """Seeded with it: what would stop the fault before any harm, such as an assertion."""
    package: str = _CORE

    def __str__(self) -> str:
        return self.name.replace(" ", "-")

    def profile(self, seed: int) -> Profile | None:
        """Return the world of ``seed`` as this fault needs it; None if the dice decide alone."""
        if not self.world and not self.raft:
            return None
        drawn = Profile.draw(random.Random(seed))
        return replace(drawn, raft=replace(drawn.raft, **self.raft), **self.world)

    @contextmanager
    def seeded(self) -> Iterator[None]:
        """Have the fault in the core for the length of a with statement.

        Raises:
            LookupError: the core no longer has the line that the fault breaks.

        """
        module_name, _, path = self.where.partition(":")
        module = importlib.import_module(f"{self.package}.{module_name}")
        original: Any = module
        for name in path.split("."):
            original = getattr(original, name, None)
        if original is None:
            raise LookupError(f"there is no {self.where} any more: write the fault anew")
        source = textwrap.dedent(inspect.getsource(original))
        if source.count(self.old) != 1:
            message = f"{self.where} does not hold {self.old!r} exactly once: write the fault anew"
            raise LookupError(message)
        names: dict[str, FunctionType] = {}
        future = "from __future__ import annotations\n"
        exec(future + source.replace(self.old, self.new), module.__dict__, names)  # noqa: S102
        faulty = names[original.__name__]
        # The code alone is exchanged: whoever imported the function has the fault too.
        right = original.__code__
        with ExitStack() as others:
            for other in self.with_:
                others.enter_context(other.seeded())
            original.__code__ = faulty.__code__
            try:
                yield
            finally:
                original.__code__ = right


def fault_of(
    name: str,
    where: str,
    old: str,
    new: str,
    *caught_by: str,
    within_seeds: int = 150,
    first_seed: int = 0,
    world: Mapping[str, Any] = _NOTHING,
    raft: Mapping[str, Any] = _NOTHING,
    is_judged: bool = False,
    with_: tuple[Fault, ...] = (),
    package: str = _CORE,
) -> Fault:
    """Return a fault; the arguments are its fields."""
    return Fault(
        name=name,
        where=where,
        old=old,
        new=new,
        caught_by=frozenset(caught_by),
        within_seeds=within_seeds,
        first_seed=first_seed,
        world=world,
        raft=raft,
        is_judged=is_judged,
        with_=with_,
        package=package,
    )


FAULTS = (
    # The five that every simulator of Raft must see.
    fault_of(
        "a vote is not stored",
        "server:Server.vote_for",
        "self.writes.owe_hard_state(is_new_term=False)",
        "pass",
        "vote is durable",
        "one vote a term",
    ),
    fault_of(
        "an older term is committed by counting",
        "commitment:next_commit_index",
        " and agreed >= term_start",
        "",
        "commitment of own term only",
    ),
    fault_of(
        "a reply leaves before its write",
        "server:Server._reply_when",
        "if batch <= self.writes.persisted_batch and upto <= self.log.durable_index:",
        "if True:",
        "acknowledged is durable",
        "stated term is durable",
        "vote is durable",
    ),
    fault_of(
        "votes are counted twice",
        "election:_count",
        "len(candidacy.granted.intersection(voters)) >= needed",
        "2 * len(candidacy.granted.intersection(voters)) > needed",
        "election by majority",
        "election safety",
    ),
    fault_of(
        "matching entries are truncated",
        "following:_new_entries",
        "log.term(entry.index) != entry.term",
        "entry.index > server.commit_index",
        "no truncation of matching entries",
        "no truncation of what is committed",
    ),
    # More of what is on record as having gone wrong somewhere.
    fault_of(
        "an answer does not wait for the new term",
        "server:Server.enter_term",
        "self.writes.owe_hard_state(is_new_term=True)",
        "self.writes.owe_hard_state(is_new_term=False)",
        "stated term is durable",
    ),
    fault_of(
        "the leader counts itself before its sync",
        "leadership:Leadership.advance_commit",
        "matches.append(server.log.durable_index)",
        "matches.append(server.log.last_index)",
        "commitment by majority",
    ),
    fault_of(
        "a vote without a look at the log",
        "server:Server.is_up_to_date",
        "return (last_term, last_index) >= (self.log.last_term, self.log.last_index)",
        "return True",
        "vote only for the up to date",
        "leader completeness",
    ),
    fault_of(
        "logs are compared by length only",
        "server:Server.is_up_to_date",
        "return (last_term, last_index) >= (self.log.last_term, self.log.last_index)",
        "return last_index >= self.log.last_index",
        "vote only for the up to date",
        "leader completeness",
        world={"voters": 5, "partition_every_s": 1.0, "crash_every_s": 1.0, "client_every_s": 0.02},
    ),
    fault_of(
        "the previous term is not checked",
        "following:_has_previous",
        "server.log.term(prev) == prev_term",
        "server.log.term(prev) is not None",
        "log matching",
        "acknowledged is durable",
    ),
    fault_of(
        "the sent commit index is not capped",
        "replication:_append",
        "commit_index = min(server.commit_index, Index(prev + len(entries)))",
        "commit_index = server.commit_index",
        "sent commit is covered",
    ),
    fault_of(
        "half is taken for a majority",
        "quorum:majority",
        "voters // 2 + 1",
        "(voters + 1) // 2 if voters % 2 == 0 else voters // 2",
        "election by majority",
        "election safety",
        "commitment by majority",
    ),
    fault_of(
        "an older term's entries are taken",
        "following:answer_append_entries",
        "request.term < server.term",
        "False",
        "messages",
        "the core never raises",
        "log matching",
    ),
    fault_of(
        "two votes in a term",
        "voting:_can_vote_for",
        "return server.hard_state.vote == peer",
        "server.hard_state = type(server.hard_state)(server.term, None)\n        return True",
        "one vote a term",
        "vote is durable",
    ),
    fault_of(
        "a vote is forgotten on restart",
        "server:Server.__init__",
        "self.hard_state = initial.hard_state",
        "self.hard_state = HardState(initial.hard_state.term, None)",
        "one vote a term",
    ),
    fault_of(
        "a follower acknowledges its last index as the leader's",
        "replication:_on_success",
        "Index(call.prev + call.length)",
        "server.log.last_index",
        "commitment by majority",
    ),
    fault_of(
        "match is taken from the hint",
        "replication:on_append_answer",
        "    _on_success(server, leadership, call)",
        "    call.prev, call.length = response.last_log, call.length\n"
        "        _on_success(server, leadership, call)",
        "commitment by majority",
        "recovery",
    ),
    fault_of(
        "a batch that was truncated counts as durable",
        "log_view:LogView.truncate",
        "written.last_index = min(written.last_index, self.last_index)",
        "pass",
        "durable is durable",
        "apply only what is durable",
        "acknowledged is durable",
        "commit within the log",
        "the core never raises",
        "apply only what is durable",
        first_seed=28,
        within_seeds=400,
    ),
    fault_of(
        "entries are acknowledged before their sync",
        "server:Server.reply_acknowledging",
        "self._reply_when(call, response, self.writes.term_batch, upto)",
        "self._reply_when(call, response, self.writes.term_batch, NO_INDEX)",
        "acknowledged is durable",
    ),
    fault_of(
        "what is not durable here is applied",
        "machine:Machine._hand_out_committed",
        "min(server.commit_index, server.log.durable_index)",
        "server.commit_index",
        "apply only what is durable",
    ),
    fault_of(
        "a read before the term's first commit",
        "leadership:Leadership.register_read",
        "self.server.commit_index if is_known else None",
        "self.server.commit_index",
        "linearisable reads",
        within_seeds=400,
    ),
    fault_of(
        "a leader keeps its term on a higher one",
        "leadership:Leadership.note_answer",
        "server.adopt_term(response.term)\n",
        "pass\n",
        "recovery",
        first_seed=14,
    ),
    fault_of(
        "no entry of its own on election",
        "leadership:begin",
        'server.leadership.append(LogType.NOOP, (b"",))',
        "pass",
        "recovery",
    ),
    fault_of(
        "a blank server refuses votes",
        "voting:_standing",
        "(is_quiet or server.is_blank)",
        "(is_quiet and not server.is_blank)",
        "recovery",
    ),
    fault_of(
        "a stranger is judged like a voter",
        "voting:answer_vote",
        "standing is _Standing.STRANGER or ",
        "",
        "a stranger moves no term",
        "a removed server moves no term",
    ),
    fault_of(
        "a heartbeat's answer waits for the log",
        "following:answer_append_entries",
        "server.reply_stating_term(\n            call,\n            AppendEntriesResponse(term=server.term, last_log=server.log.last_index, success=True),\n        )",
        "server.reply_acknowledging(\n            call,\n            AppendEntriesResponse(term=server.term, last_log=server.log.last_index, success=True),\n            server.log.last_index,\n        )",
        "heartbeats are answered at once",
    ),
)

# Only a directed scenario reaches these: a leader's lease ends before another can be elected.
EARLY_ANSWER_CONFIRMS_A_READ = fault_of(
    "a read is confirmed by an answer sent before it",
    "leadership:Leadership.on_heartbeat_answer",
    "call.newest_read",
    "self.reads.newest",
    "linearisable reads",
)
NONVOTER_CONFIRMS_A_READ = fault_of(
    "a nonvoter confirms a read",
    "leadership:Leadership.confirm_reads",
    "for peer in self.voters]",
    "for peer in self.peers.values()]\n"
    "    acknowledged = sorted(acknowledged)[-len(self.voters) :]",
    "linearisable reads",
)

# Dice take some hundred seeds to reach this one.
TRUNCATED_IS_ACKNOWLEDGED = fault_of(
    "an acknowledgement of truncated entries stands",
    "holding:Holding.truncated",
    "held.upto >= first_removed",
    "False",
    "acknowledged is durable",
    "messages",
)
