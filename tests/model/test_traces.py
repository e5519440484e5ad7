from __future__ import annotations

import pytest

from raft_over_libp2p.core.trace import TraceRecord
from tests.model.runs import STATIC, WITH_CHANGES, WITH_SNAPSHOTS, simulate, simulate_fault
from tests.model.traces import judge, lines_of
from tests.simulation.faults import FAULTS
from tests.simulation.figure_8 import figure_8_c
from tests.simulation.profile import Profile
from tests.simulation.violation import Violation

pytestmark = [pytest.mark.tlc, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("profile", "seed"),
    [(STATIC, 1), (WITH_CHANGES, 1), (WITH_SNAPSHOTS, 1)],
    ids=["crashes-and-partitions", "changing-members", "snapshots"],
)
def test_a_simulated_run_is_a_behaviour_of_the_model(profile: Profile, seed: int) -> None:
    records, servers = simulate(seed, profile, 250)

    judgement = judge(lines_of(records), servers)

    assert (None, "") == (judgement.refused, judgement.why)


def test_a_run_of_which_one_server_left_no_trace_is_a_behaviour_of_the_model() -> None:
    """So are runs with a Go peer judged: what it says is learnt when it arrives."""
    records, servers = simulate(1, STATIC, 250)
    seen = [record for record in records if record.server != "s2"]

    judgement = judge(lines_of(seen), servers, go=["s2"])

    assert (None, "") == (judgement.refused, judgement.why)


@pytest.mark.parametrize(
    ("fault_name", "refused"),
    [
        ("a vote is not stored", ("says", "vote")),
        ("a reply leaves before its write", ("says", "vote")),
        ("the sent commit index is not capped", ("says", "entries")),
        ("a vote without a look at the log", ("vote request", None)),
        ("a vote is forgotten on restart", ("start", None)),
    ],
)
def test_the_trace_of_a_seeded_fault_is_refused_at_its_line(
    fault_name: str, refused: tuple[str, str | None]
) -> None:
    (fault,) = [fault for fault in FAULTS if fault.name == fault_name]
    records, servers = simulate_fault(fault, STATIC, 400)

    line = judge(lines_of(records), servers).refused

    assert line is not None
    assert refused == (line["do"], line.get("what"))


def test_an_older_term_committed_by_counting_is_refused() -> None:
    """Raft Figure 8, which dice seldom find."""
    records: list[TraceRecord] = []
    (fault,) = [fault for fault in FAULTS if "counting" in fault.name]
    with fault.seeded(), pytest.raises(Violation):
        figure_8_c(records.append)

    line = judge(lines_of(records), ["s1", "s2", "s3", "s4", "s5"]).refused

    assert line is not None
    assert line["do"] == "commit"


def test_figure_8_is_a_behaviour_of_the_model() -> None:
    records: list[TraceRecord] = []
    figure_8_c(records.append)

    judgement = judge(lines_of(records), ["s1", "s2", "s3", "s4", "s5"])

    assert (None, "") == (judgement.refused, judgement.why)
