from __future__ import annotations

import pytest

from tests.model.runs import STATIC, WITH_CHANGES, WITH_SNAPSHOTS, simulate
from tests.model.traces import judge
from tests.simulation.faults import FAULTS
from tests.simulation.profile import Profile

pytestmark = [pytest.mark.tlc, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("profile", "seed"),
    [(STATIC, 1), (WITH_CHANGES, 1), (WITH_SNAPSHOTS, 1)],
    ids=["crashes-and-partitions", "changing-members", "snapshots"],
)
def test_a_simulated_run_is_a_behaviour_of_the_model(profile: Profile, seed: int) -> None:
    records, servers = simulate(seed, profile, 250)

    judgement = judge(records, servers)

    assert (None, "") == (judgement.refused, judgement.why)


def test_a_run_of_which_one_server_left_no_trace_is_a_behaviour_of_the_model() -> None:
    """So are runs with a Go peer judged: what it says is learnt when it arrives."""
    records, servers = simulate(1, STATIC, 250)
    seen = [record for record in records if record.server != "s2"]

    judgement = judge(seen, servers, go=["s2"])

    assert (None, "") == (judgement.refused, judgement.why)


@pytest.mark.parametrize(
    ("fault_name", "seed", "refused"),
    [
        ("a vote is not stored", 22, ("says", "vote")),
        ("a reply leaves before its write", 0, ("says", "vote")),
        ("the sent commit index is not capped", 1, ("says", "entries")),
        ("a vote without a look at the log", 2, ("vote request", None)),
        ("a vote is forgotten on restart", 2, ("start", None)),
    ],
)
def test_the_trace_of_a_seeded_fault_is_refused_at_its_line(
    fault_name: str, seed: int, refused: tuple[str, str | None]
) -> None:
    (fault,) = [fault for fault in FAULTS if fault.name == fault_name]
    with fault.seeded():
        records, servers = simulate(seed, STATIC, 300)

    line = judge(records, servers).refused

    assert line is not None
    assert refused == (line["do"], line.get("what"))
