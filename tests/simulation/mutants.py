"""The numbered list of seeded faults, each caught by the checker it names.

    python -m tests.simulation.mutants                    # all, some minutes; make mutants
    python -m tests.simulation.mutants 27 50              # these
    python -m tests.simulation.mutants --seeds 20000      # what dice find of those that a scenario shows

A fault is caught by dice (a bounded range of seeds from a fixed one on), by a scenario, by a
transcript, or outside the simulator, where its mechanism is. Some numbers have several faults.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from raft_over_libp2p.errors import InvariantViolation
from tests.scenarios.commands import BadCommand
from tests.scenarios.transcript import FOLDER, replayed
from tests.simulation import outside_faults as outside
from tests.simulation import rule_scenarios as rules
from tests.simulation import scenarios
from tests.simulation.change_faults import (
    CHANGE_FAULTS,
    OUTSIDE_ITS_LATEST_IS_SILENT,
    STORED_SNAPSHOT_IS_NOT_REJUDGED,
)
from tests.simulation.faults import (
    EARLY_ANSWER_CONFIRMS_A_READ,
    FAULTS,
    NONVOTER_CONFIRMS_A_READ,
    Fault,
)
from tests.simulation.figure_8 import figure_8_c
from tests.simulation.read_faults import LEASE_FAULTS, READ_FAULTS
from tests.simulation.rule_faults import RULE_FAULTS
from tests.simulation.seeds import run_seed
from tests.simulation.violation import Violation

__all__ = ["MUTANTS", "OTHERS", "SURVIVORS", "Caught", "Mutant", "caught_by_dice", "main"]

_ALL = (*FAULTS, *CHANGE_FAULTS, *RULE_FAULTS, *LEASE_FAULTS.values(), *READ_FAULTS.values())
_TRANSCRIPT = "transcript"
_MOST_SEEDS = 20_000


@dataclass(frozen=True, slots=True)
class Caught:
    """What saw a fault, and after how much; ``checker`` is empty if nothing did."""

    checker: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One fault of the list; ``run`` puts it in, plays, and tells what saw it."""

    number: int
    fault: Fault
    run: Callable[[], Caught]
    caught_by: frozenset[str]
    is_by_dice: bool = False

    def __str__(self) -> str:
        return f"{self.number}-{self.fault}"


def caught_by_dice(fault: Fault, first: int, count: int) -> Caught:
    """Run up to ``count`` seeds from ``first`` on with the fault in the core."""
    steps = 0
    with fault.seeded():
        for seed in range(first, first + count):
            outcome = run_seed(seed, profile=fault.profile(seed), is_judged=fault.is_judged)
            steps += outcome.steps
            if outcome.violation is not None:
                seeds = seed - first + 1
                return Caught(outcome.violation.checker, f"{seeds} seeds, {steps} steps")
    return Caught("", f"{count} seeds, {steps} steps")


def _named(name: str) -> Fault:
    (fault,) = (fault for fault in _ALL if fault.name == name)
    return fault


def _dice(number: int, name: str) -> Mutant:
    fault = _named(name)
    return Mutant(
        number=number,
        fault=fault,
        run=lambda: caught_by_dice(fault, fault.first_seed, fault.within_seeds),
        caught_by=fault.caught_by,
        is_by_dice=True,
    )


def _played(number: int, fault: Fault, play: Callable[[], object], checker: str) -> Mutant:
    """Return a mutant that a scenario, or a world outside the simulator, shows by ``checker``."""
    told = play.__name__.replace("_", " ")

    def run() -> Caught:
        with fault.seeded():
            try:
                play()
            except Violation as violation:
                return Caught(violation.checker, told)
        return Caught("", told)

    return Mutant(number=number, fault=fault, run=run, caught_by=frozenset({checker}))


def _scenario(number: int, name: str, play: Callable[[], object], checker: str) -> Mutant:
    return _played(number, _named(name), play, checker)


def _transcript(number: int, name: str, transcript: str) -> Mutant:
    fault = _named(name)

    def run() -> Caught:
        text = (FOLDER / f"{transcript}.txt").read_text()
        with fault.seeded():
            try:
                is_same = replayed(text) == text
            except (BadCommand, InvariantViolation):
                is_same = False
        return Caught("" if is_same else _TRANSCRIPT, f"{transcript}.txt")

    return Mutant(number=number, fault=fault, run=run, caught_by=frozenset({_TRANSCRIPT}))


_IN_VAIN = "scenario"
"""The scenario waits for something that does not happen any more."""

MUTANTS = (
    _dice(1, "a vote is not stored"),
    _dice(2, "a term is not stored"),
    _dice(3, "a reply leaves before its write"),
    _dice(4, "entries are acknowledged before their sync"),
    _dice(5, "the leader counts itself before its sync"),
    _dice(6, "an older term is committed by counting"),
    _scenario(
        6,
        "an older term is committed by counting",
        figure_8_c,
        "commitment of own term only",
    ),
    _dice(7, "a vote without a look at the log"),
    _dice(8, "logs are compared by length only"),
    _dice(9, "the previous term is not checked"),
    _dice(10, "matching entries are truncated"),
    _scenario(
        11,
        "a commit index beyond the entries that came with it",
        rules.go_leader_names_its_commit_index,
        "state machine safety",
    ),
    _scenario(
        12,
        "the commit index of a rejected append is taken",
        rules.go_leader_names_its_commit_index,
        "state machine safety",
    ),
    _dice(13, "half is taken for a majority"),
    _dice(14, "an older term's entries are taken"),
    _dice(15, "two votes in a term"),
    _scenario(
        16, "a vote is taken back on stepping down", rules.voted_and_stood_still, "one vote a term"
    ),
    _dice(17, "votes are counted twice"),
    _scenario(
        18,
        "a vote of an older term counts",
        rules.late_vote_of_an_older_term,
        "election by majority",
    ),
    _scenario(
        19, "a leader keeps its term on a higher one", rules.far_term_of_a_nonvoter, _IN_VAIN
    ),
    _scenario(
        20,
        "a follower names its last entry, and its leader takes that for the acknowledged one",
        rules.stale_tail_of_a_follower,
        "commitment by majority",
    ),
    _dice(21, "a follower acknowledges its last index as the leader's"),
    _dice(22, "what a peer holds may become less"),
    _dice(23, "two configurations in flight"),
    _dice(24, "a configuration is not rolled back"),
    _dice(25, "no entry of its own on election"),
    _scenario(
        26,
        "a change before a commit of the own term",
        scenarios.four_servers,
        "a configuration after a commit of the own term",
    ),
    _scenario(
        27,
        "an answer from an earlier reign counts",
        rules.acknowledged_in_an_earlier_reign,
        "commitment by majority",
    ),
    _scenario(
        28,
        "a snapshot in the place of a newer log",
        rules.snapshot_below_what_was_acknowledged,
        "acknowledged entries stay",
    ),
    _dice(29, "a snapshot without its configuration"),
    _dice(30, "compaction past what was applied"),
    _dice(31, "what was applied is forgotten"),
    _transcript(32, "a lease without the voters", "lease_read"),
    _dice(33, "a read before the term's first commit"),
    _transcript(34, "a read joins a request that is under way", "read_at_a_follower"),
    _dice(35, "a pre-vote raises the term"),
    _dice(36, "a pre-vote is granted while a leader is heard"),
    _dice(37, "TimeoutNow is obeyed whoever sends it"),
    _dice(38, "a nonvoter counts for commitment"),
    _dice(39, "a removed leader counts itself"),
    _played(40, outside.VOTE_IN_TWO_WRITES, outside.crash_images, "crash images"),
    _dice(41, "an answer is taken for that to the oldest call"),
    _scenario(
        42,
        "a heartbeat changes the term beside the main loop",
        rules.heartbeat_beside_the_loop,
        "log matching",
    ),
    _played(43, outside.TRUNCATION_NOT_WRITTEN, outside.crash_images, "crash images"),
    _played(44, outside.DIRECTORY_NOT_SYNCED, outside.crash_images, "crash images"),
    _scenario(
        45,
        "a server added again is taken for who it was",
        rules.added_again_with_an_empty_disk,
        _IN_VAIN,
    ),
    _played(46, OUTSIDE_ITS_LATEST_IS_SILENT, scenarios.crashes_with_its_own_removal, _IN_VAIN),
    _dice(47, "the sent commit index is not capped"),
    _dice(48, "a duplicate is acknowledged from memory"),
    _transcript(49, "a batch that was truncated counts as durable", "truncated_before_durable"),
    _scenario(
        50,
        "a leader whose disk was full goes on in its term",
        rules.disk_full_after_sending,
        "log matching",
    ),
    _dice(51, "what is not durable here is applied"),
    _played(52, EARLY_ANSWER_CONFIRMS_A_READ, scenarios.late_answer, "linearisable reads"),
    _played(
        53,
        NONVOTER_CONFIRMS_A_READ,
        scenarios.nonvoter_with_an_old_leader,
        "linearisable reads",
    ),
    _transcript(54, "a lease from the receive time", "lease_from_the_send_time"),
    _dice(55, "votes are counted in the committed configuration"),
    _dice(56, "a blank server refuses votes"),
    _scenario(
        57,
        "a candidate of a newer configuration is refused",
        rules.promoted_behind_our_back,
        _IN_VAIN,
    ),
    _transcript(58, "an older snapshot is refused", "older_snapshot"),
    _played(
        59,
        STORED_SNAPSHOT_IS_NOT_REJUDGED,
        scenarios.snapshot_overtaken,
        "applied never goes back",
    ),
    _transcript(59, "a stored snapshot is not judged again by its term", "snapshot_overtaken"),
    _transcript(60, "a stale tail stays over a snapshot", "snapshot_over_a_stale_tail"),
    _dice(61, "a snapshot with a configuration newer than its index"),
    _dice(62, "entries are sent beside a snapshot"),
    _dice(63, "match is taken from the hint"),
    _dice(64, "a part of a batch is acknowledged as the whole"),
    _dice(65, "a vote is given again without a look at the log"),
    _played(66, outside.TORN_VOTE_TAKEN_OVER, outside.taken_over_from_go, "one vote a term"),
    _played(67, outside.EXPORT_WITHOUT_TERM, outside.given_back_to_go, "an export is read back"),
    _dice(68, "a heartbeat's answer waits for the log"),
    _dice(69, "a change of another configuration than was asked for"),
    _played(
        70,
        outside.ADDRESS_CHANGES_THE_CONFIGURATION,
        outside.address_of_a_stranger_in_the_log,
        "an address is no membership",
    ),
    _dice(71, "the transfer flag goes with every later round"),
    _scenario(
        72,
        "a leader steps down before a higher term and keeps its own",
        rules.far_term_of_a_nonvoter,
        _IN_VAIN,
    ),
)

OTHERS = tuple(
    fault
    for fault in (*FAULTS, *CHANGE_FAULTS, *RULE_FAULTS)
    if fault not in [mutant.fault for mutant in MUTANTS]
)
"""Faults that are on no list; dice find each."""

SURVIVORS = (
    (
        69,
        "promotion by the core without prev_index",
        (
            "A leader reads the configuration and appends the promotion in one turn, so that none "
            "can come between; seeded is the same in changes that callers ask for."
        ),
    ),
)
"""Faults that are none here: number, fault, and the proof in one sentence."""


def _run(position: int) -> tuple[int, Caught, float]:
    began = time.process_time()
    caught = MUTANTS[position].run()
    return position, caught, time.process_time() - began


def _search(work: tuple[int, int]) -> tuple[int, Caught, float]:
    position, seeds = work
    began = time.process_time()
    caught = caught_by_dice(MUTANTS[position].fault, 0, seeds)
    return position, caught, time.process_time() - began


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.mutants",
        description="Put each fault of the list into the code and see it caught.",
    )
    parser.add_argument("numbers", nargs="*", type=int, help="these only; all if none is given")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument(
        "--seeds",
        type=int,
        default=0,
        help=f"let dice look for the others, too (0 to {_MOST_SEEDS})",
    )
    return parser.parse_args()


def _tell(position: int, caught: Caught, spent_s: float) -> bool:
    """Say how a fault was caught; return whether it was by a checker it names."""
    mutant = MUTANTS[position]
    is_right = caught.checker in mutant.caught_by
    by = caught.checker or "NOBODY"
    if not is_right and caught.checker:
        by = f"ANOTHER: {by}"
    _say(f"{mutant.number:3} | {mutant.fault.name} | {by} | {caught.after} | {spent_s:.1f} s")
    return is_right


def main() -> int:
    """Return 0 if each fault is caught by a checker it names, else 1."""
    arguments = _arguments()
    chosen = [
        position
        for position, mutant in enumerate(MUTANTS)
        if not arguments.numbers or mutant.number in arguments.numbers
    ]
    missed = set()
    with multiprocessing.get_context("spawn").Pool(arguments.jobs) as pool:
        _say("  # | fault | caught by | after | CPU time")
        for position, caught, spent_s in pool.imap(_run, chosen):
            if not _tell(position, caught, spent_s):
                missed.add(MUTANTS[position].number)
        if arguments.seeds:
            _say("What dice alone find of those that a scenario or a transcript shows:")
            others = [(p, arguments.seeds) for p in chosen if _is_for_dice(MUTANTS[p])]
            for position, caught, spent_s in pool.imap(_search, others):
                _tell(position, caught, spent_s)
    for number, name, proof in SURVIVORS:
        _say(f"{number:3} | {name} | not seeded: {proof}")
    numbers = {MUTANTS[position].number for position in chosen}
    _say(f"mutants: {len(numbers)} seeded, {len(numbers - missed)} caught")
    return 1 if missed else 0


def _is_for_dice(mutant: Mutant) -> bool:
    return mutant.fault.package.endswith(".core") and not mutant.is_by_dice


if __name__ == "__main__":
    raise SystemExit(main())
