"""Transcripts can fail: a core with a fault does not play them as they are written."""

from __future__ import annotations

import pytest

from raft_over_libp2p.core import following, voting
from raft_over_libp2p.core.server import Server
from raft_over_libp2p.errors import InvariantViolation
from tests.scenarios.commands import BadCommand
from tests.scenarios.transcript import FOLDER, replayed
from tests.simulation.change_faults import CHANGE_FAULTS
from tests.simulation.faults import (
    EARLY_ANSWER_CONFIRMS_A_READ,
    FAULTS,
    NONVOTER_CONFIRMS_A_READ,
    TRUNCATED_IS_ACKNOWLEDGED,
    Fault,
    fault_of,
)
from tests.simulation.read_faults import LEASE_FAULTS, READ_FAULTS

DIRECTED = {
    "read_needs_a_later_answer": EARLY_ANSWER_CONFIRMS_A_READ,
    "read_refused": NONVOTER_CONFIRMS_A_READ,
    "truncated_before_durable": TRUNCATED_IS_ACKNOWLEDGED,
}
SEEDED = {
    "a vote is not stored": "vote_in_a_known_term",
    "an older term is committed by counting": "figure_8_overwritten",
    "a reply leaves before its write": "acknowledged_when_durable",
    "a batch that was truncated counts as durable": "truncated_before_durable",
    "the leader counts itself before its sync": "leader_disk_slow",
    "two votes in a term": "split_vote",
    "the sent commit index is not capped": "commit_sent_capped",
    "a heartbeat's answer waits for the log": "heartbeat_while_the_disk_stands",
    "a stranger is judged like a voter": "unknown_candidate",
    "a change before a commit of the own term": "ongaro_2015",
    "a configuration is not rolled back": "change_rolled_back",
    "a stale tail stays over a snapshot": "snapshot_over_a_stale_tail",
    "TimeoutNow is obeyed whoever sends it": "timeoutnow_of_a_stranger",
    "TimeoutNow before the target has the whole log": "transfer",
}

RESTORING = [
    (
        "restore_go_follower",
        "is_due",
        " or peer.match_index < server.log.last_index",
        "",
    ),
    (
        "restore_leader_dies",
        "_is_held_but_here",
        "reached_by_majority(holders, NO_INDEX)",
        "max(holders)",
    ),
    ("restore_given_up", "_give_up", "is_sent = restoring.is_sent", "is_sent = False"),
    ("restore_done", "_put_in_force", 'leadership.append(LogType.NOOP, (b"",))', "pass"),
    ("restore_step_down", "is_due", "restoring.is_sent = True", "pass"),
]
"""Transcript, function of ``core.restoring``, what is there, what takes its place."""


def _comes_out_as_written(transcript: str) -> bool:
    text = (FOLDER / f"{transcript}.txt").read_text()
    try:
        return replayed(text) == text
    except (BadCommand, InvariantViolation):
        return False


@pytest.mark.parametrize(("fault", "transcript"), SEEDED.items(), ids=SEEDED.values())
def test_a_fault_that_the_simulator_seeds_changes_a_transcript(fault: str, transcript: str) -> None:
    (seeded,) = (f for f in [*FAULTS, *CHANGE_FAULTS] if f.name == fault)
    with seeded.seeded():
        assert not _comes_out_as_written(transcript)


_OF_READS = {**LEASE_FAULTS, **READ_FAULTS}


@pytest.mark.parametrize(("transcript", "fault"), _OF_READS.items(), ids=_OF_READS)
def test_a_fault_in_leases_or_reads_changes_a_transcript(transcript: str, fault: Fault) -> None:
    with fault.seeded():
        assert not _comes_out_as_written(transcript)


@pytest.mark.parametrize(("transcript", "fault"), DIRECTED.items(), ids=DIRECTED)
def test_a_fault_that_dice_seldom_reach_changes_a_transcript(transcript: str, fault: Fault) -> None:
    with fault.seeded():
        assert not _comes_out_as_written(transcript)


@pytest.mark.parametrize(
    ("transcript", "where", "old", "new"), RESTORING, ids=lambda text: text[:20]
)
def test_a_fault_in_a_restore_changes_a_transcript(
    transcript: str, where: str, old: str, new: str
) -> None:
    with fault_of("in a restore", f"restoring:{where}", old, new, "").seeded():
        assert not _comes_out_as_written(transcript)


def _yes(*_: object) -> bool:
    return True


def _no(*_: object) -> bool:
    return False


def test_servers_that_are_not_loyal_to_their_leader_change_a_transcript(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(voting, "_is_loyal", _no)
    assert not _comes_out_as_written("stickiness")


def test_votes_without_a_look_at_the_log_change_a_transcript(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Server, "is_up_to_date", _yes)
    assert not _comes_out_as_written("older_log_loses")


def test_following_a_second_leader_of_a_term_changes_a_transcript(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "follow", _yes)
    assert not _comes_out_as_written("two_leaders_in_a_term")
