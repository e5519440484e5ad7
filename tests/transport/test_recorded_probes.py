"""What live Go nodes were asked, asked of this server in the same order.

The header's ID stands for the peer that libp2p authenticated. Where the answer is not Go's, byte
for byte, that is on purpose: the difference is listed here with its row of docs/divergences.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from raft_over_libp2p.errors import RemoteProtocolError
from raft_over_libp2p.types import ServerID
from raft_over_libp2p.wire.framing import RequestReader
from tests.transport.probed_node import ProbedNode
from tests.wire.recorded import recorded

PROBES: Final[list[Any]] = recorded()["probes"]
TARGETS: Final = list(dict.fromkeys(probe["target"] for probe in PROBES))
ASKER: Final = ServerID("12D3KooWEVZbXAqg4C5VCiZEaqoq4uv8cwRxMVBNSkbKpkcGdt4Q")
"""Who asks where a request does not say: the one that mostly does."""

_HEARTBEAT_0: Final = "heartbeat ProtocolVersion 0 (fast path skips version check)"
_BLANK: Final = "RequestPreVote (empty cluster)"
_OLD_VERSION: Final = "Requests of protocol version 0 or 1"
_STRANGER: Final = "A candidate outside the configuration"

DIFFERENCES: Final[dict[tuple[str, str], str]] = {
    # Its log is as empty as ours: nobody who could lead asks so.
    ("1.7.3", _BLANK): _STRANGER,
    ("1.8.0", _BLANK): _STRANGER,
    ("1.6.0", _BLANK): "A pre-vote, asked of a Go peer before 1.7",
    ("1.6.0", _HEARTBEAT_0): "A heartbeat with protocol version 0 or 1",
    ("1.7.3", _HEARTBEAT_0): "A heartbeat with protocol version 0 or 1",
    ("1.8.0", _HEARTBEAT_0): "A heartbeat with protocol version 0 or 1",
    ("1.7.3", "AE prev term mismatch"): "The last index in a refused append",
    (
        "1.7.3",
        "RequestVote same term, candidate w/ stale log but same addr (dup check precedes log check)",
    ): "A candidate whose vote was granted in this term asks again",
    (
        "1.7.3",
        "AE from a DIFFERENT leader at same term 21 (accepted)",
    ): "A second leader in one term",
    (
        "1.7.3",
        "InstallSnapshot short body + half close",
    ): "A snapshot that ends before its announced size",
    ("1.7.3", "InstallSnapshot version 7"): "A snapshot of an unknown version",
    # It states the last index, which Go's node had moved back with the older snapshot before.
    (
        "1.7.3",
        "heartbeat leaderless: Addr and Leader nil => goes via main loop",
    ): "A snapshot older than what was applied",
    ("gap", "AE gap: prev=0 (no check), entries [9]"): "An append that would leave a hole",
    (
        "nonvoter",
        "TimeoutNow to nonvoter (no check on the receiver!)",
    ): "TimeoutNow from who does not lead our term",
    ("1.7.3-pv1", "RequestVote pv1 -> Peers field"): _OLD_VERSION,
    ("1.7.3-pv1", "RequestVote pv0"): _OLD_VERSION,
    ("1.7.3-pv1", "AE pv3"): _OLD_VERSION,
    ("1.7.3-pv2", "RequestVote pv1 -> Peers field"): _OLD_VERSION,
    ("1.7.3-pv2", "AE pv3"): _OLD_VERSION,
    ("pv1-fresh", "RequestVote pv1 with config -> Peers populated"): _OLD_VERSION,
}
"""By target and probe: the beginning of the row in docs/divergences.md that says why."""


def asker_of(request: bytes) -> ServerID:
    """Return who sends ``request`` by its header, or by the candidate it names."""
    try:
        for message in RequestReader().feed(request):
            named = message.header.id or getattr(message.request, "candidate", "")
            return ServerID(named) if named else ASKER
    except RemoteProtocolError:
        pass
    return ASKER


def name_of(target: str) -> ServerID:
    """Return the ID of the Go node that was asked, which is in most of its answers."""
    marker = b"\xa2ID\xda\x00\x34"
    for probe in PROBES:
        _, found, rest = bytes.fromhex(probe["reply_hex"]).partition(marker)
        if found and probe["target"] == target:
            return ServerID(rest[:52].decode())
    raise AssertionError(f"no answer of {target} names it")


async def differences_of(target: str) -> dict[str, str]:
    """Ask all that the Go node was asked; return, by probe, what is answered otherwise."""
    node = ProbedNode(name_of(target))
    found = {}
    for probe in PROBES:
        if probe["target"] != target:
            continue
        request = bytes.fromhex(probe["request_hex"])
        answer, has_ended = await node.asked(
            asker_of(request), request, is_half_closed=probe["close_write"]
        )
        expected = bytes.fromhex(probe["reply_hex"]), probe["end"] == "EOF"
        if expected != (answer, has_ended):
            found[probe["name"]] = f"{answer!r}, ended: {has_ended}; Go: {expected}"
    return found


@pytest.mark.parametrize("target", TARGETS)
async def test_the_answers_are_those_of_go_but_for_the_differences_listed(target: str) -> None:
    found = await differences_of(target)

    listed = {probe for of, probe in DIFFERENCES if of == target}
    assert {} == {probe: how for probe, how in found.items() if probe not in listed}
    assert set() == listed - set(found), "listed, and no difference any more"


def test_every_difference_has_its_reason_in_the_divergences() -> None:
    text = (Path(__file__).parents[2] / "docs" / "divergences.md").read_text()

    missing = [row for row in DIFFERENCES.values() if f"\n| {row}" not in text]
    assert [] == missing


def test_there_are_eighty_six_probes_of_eight_nodes() -> None:
    assert (86, 8) == (len(PROBES), len(TARGETS))
