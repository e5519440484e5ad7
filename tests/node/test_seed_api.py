"""docs/seed-api.md names only what exists, and every public call of the component."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

from node.consensus import Consensus

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.split("|")[1:-1]]
    for line in (ROOT / "docs/seed-api.md").read_text().splitlines()
    if line.startswith(("| `", "| observers"))
]
BEYOND_THE_SEED = {
    "open_on",
    "status",
    "metrics",
    "raft",
    "linearizable_state",
    "transfer_leadership",
}
"""Of ``Consensus``: what the seed had nothing like."""


def _names(cell: str) -> list[str]:
    return re.findall(r"`([\w.]+)`", cell)


def _found(dotted: str) -> object:
    """Return what ``dotted`` names: a module's attribute, or one of a class in it."""
    parts = dotted.split(".")
    depth = next(i for i, part in enumerate(parts) if part[0].isupper())
    found: object = importlib.import_module(".".join(parts[:depth]))
    for part in parts[depth:]:
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("dotted", sorted({name for row in ROWS for name in _names(row[1])}))
def test_every_python_form_exists(dotted: str) -> None:
    assert _found(dotted) is not None


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_every_name_is_shown_by_a_test_that_exists(row: list[str]) -> None:
    path, name = row[3].strip("`").split("::")

    assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE)


def test_no_name_of_the_seed_is_left_out() -> None:
    seed = {name for row in ROWS for name in re.findall(r"\b[A-Z]\w+", row[0])}

    assert {
        "NewConsensus", "WaitForSync", "SetClient", "Ready", "LogPin", "LogUnpin", "LogAddPeer",
        "LogRmPeer", "State", "Leader", "Rollback", "Shutdown", "NewRaft", "WaitForLeader",
        "WaitForUpdates", "Snapshot", "AddPeer", "RemovePeer", "LogOp", "LeaderTimeout",
        "CommitRetries", "RaftMaxSnapshots", "DefaultRaftConfig", "CommitOp", "GetLogHead",
        "Subscribe",
    } <= seed  # fmt: skip


def test_every_public_call_of_the_component_is_the_seeds_or_named_as_beyond_it() -> None:
    public = {name for name, _ in inspect.getmembers(Consensus) if not name.startswith("_")}
    named = {
        dotted.rpartition(".")[2]
        for row in ROWS
        for dotted in _names(row[1])
        if dotted.startswith("node.consensus.Consensus.")
    }

    assert public == named | BEYOND_THE_SEED
