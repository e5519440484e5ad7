"""A seed's story, drawn: well-formed, bounded, and with what matters in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.simulation.diagram import Diagram
from tests.simulation.local_reads import LocalReads
from tests.simulation.seeds import run_seed

_SVG = "{http://www.w3.org/2000/svg}"


def _parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - we have just written it


def _drawn_violation() -> tuple[Diagram, str]:
    """Return the picture of the first seed in which such reads are noticed, and what was said."""
    for seed in range(50):
        diagram = Diagram(f"seed {seed}")
        outcome = run_seed(seed, story=diagram.tell, machine_type=LocalReads, is_judged=False)
        if outcome.violation is not None:
            return diagram, str(outcome.violation)
    raise AssertionError("no seed notices local reads")


def test_a_violation_is_the_last_row_of_a_picture_with_its_servers_and_calls() -> None:
    diagram, violation = _drawn_violation()

    svg = _parsed(diagram.svg())

    texts = [text.findtext(f"{_SVG}title") or text.text or "" for text in svg.iter(f"{_SVG}text")]
    assert f"VIOLATION of {violation}" == texts[-1]
    assert "s1" in texts
    assert len(list(svg.iter(f"{_SVG}line"))) > 10


def test_only_the_end_of_a_long_story_is_drawn() -> None:
    diagram = Diagram("long", most_lines=10)
    for number in range(1000):
        diagram.tell(f"  {number}.0 s1 applies up to {number}")

    rows = list(_parsed(diagram.svg()).iter(f"{_SVG}title"))

    assert [f"s1 applies up to {number}" for number in range(990, 1000)] == [r.text for r in rows]


def test_who_led_before_the_picture_begins_is_drawn_as_leading() -> None:
    diagram = Diagram("led", most_lines=3)
    diagram.tell("  1.0 s2 observes RoleChanged(role=<Role.LEADER: 'Leader'>, term=7)")
    for number in range(5):
        diagram.tell(f"  2.0 s2 applies up to {number}")

    assert "leads 7" in diagram.svg()


def test_an_arrow_goes_from_the_call_to_its_arrival_and_a_lost_one_ends_short() -> None:
    diagram = Diagram("calls")
    diagram.tell("  1.0 s1 calls s2 #5: RequestVoteRequest(term=2)")
    diagram.tell("  1.1 s1 calls s3 #6: RequestVoteRequest(term=2)")
    diagram.tell("  1.2 s2 gets from s1 #9: RequestVoteRequest(term=2)")
    diagram.tell("  1.3 s2 answers s1 #9: Reply(call=9)")
    diagram.tell("  1.4 s1 is answered by s2 #5: RequestVoteResponse(term=2)")

    svg = _parsed(diagram.svg())

    # One arrow head for each message that arrived: the call and its answer, not the lost one.
    assert 2 == len(list(svg.iter(f"{_SVG}path")))


def test_the_command_that_replays_a_seed_draws_it(tmp_path: Path) -> None:
    path = tmp_path / "seed.svg"
    command = [sys.executable, "-m", "tests.simulation", "--seed", "3", "--steps", "300"]
    subprocess.run([*command, "--svg", str(path)], check=True, capture_output=True)

    assert "seed 3" in (_parsed(path.read_text()).findtext(f"{_SVG}text") or "")
