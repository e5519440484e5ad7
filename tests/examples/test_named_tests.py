"""The tests that docs/mixed-cluster-rules.md and docs/features.md name exist, and each rule has its own."""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

import raft_over_libp2p

ROOT: Final = Path(__file__).parents[2]
RULES: Final = (ROOT / "docs/mixed-cluster-rules.md").read_text()
TEXTS: Final = {
    "rules": RULES,
    "features": (ROOT / "docs/features.md").read_text(),
    "testing": (ROOT / "docs/testing.md").read_text(),
}
_TEST: Final = re.compile(r"\btests/[\w/-]+\.(?:txt|py(?:::\w+)*)")
_SHOWN_BY_GO: Final = {1, 2, 3, 4, 5, 14, 15, 17, 19, 20, 21, 22}
"""Rules that were seen to be needed with a real hashicorp/raft, and so are held with one."""
GO_API: Final = """
    AddNonvoter AddPeer AddVoter AppliedIndex Apply ApplyLog Barrier BootstrapCluster CommitIndex
    CurrentTerm DemoteVoter DeregisterObserver GetConfiguration LastContact LastIndex Leader
    LeaderCh LeaderWithID LeadershipTransfer LeadershipTransferToServer RegisterObserver
    ReloadConfig ReloadableConfig RemovePeer RemoveServer Restore Shutdown Snapshot State Stats
    String VerifyLeader

    DecodeConfiguration DefaultConfig EncodeConfiguration HasExistingState MakeCluster
    MakeClusterCustom MakeClusterNoBootstrap NewDiscardSnapshotStore NewFileSnapshotStore
    NewFileSnapshotStoreWithLogger NewInmemAddr NewInmemSnapshotStore NewInmemStore
    NewInmemTransport NewInmemTransportWithTimeout NewLogCache NewNetworkTransport NewObserver
    NewRaft NewTCPTransport ReadConfigJSON ReadPeersJSON RecoverCluster ValidateConfig

    BatchApplyCh CommitTimeout ElectionTimeout HeartbeatTimeout LeaderLeaseTimeout LocalID
    LogLevel LogOutput Logger MaxAppendEntries NoLegacyTelemetry NoSnapshotRestoreOnStart NotifyCh
    PreVoteDisabled ProtocolVersion ShutdownOnRemove SnapshotInterval SnapshotThreshold TrailingLogs

    FailedHeartbeatObservation GetNumDropped GetNumObserved LeaderObservation PeerObservation
    RaftState RequestVoteRequest ResumedHeartbeatObservation

    BatchingFSM ConfigurationStore FSM LogStore MonotonicLogStore SnapshotStore StableStore
"""
"""Methods of ``Raft``, functions, fields of ``Config``, observations, and what embedders implement:
all that ``go doc`` shows of hashicorp/raft 1.7.3 but the wire's own types and what tests of it use."""
_NUMBERS: Final = re.compile(r"\brules? (\d+(?:(?:, | and | to )\d+)*)", re.IGNORECASE)


def sections() -> dict[int, str]:
    """Return the text of each rule by its number."""
    parts = re.split(r"^### (\d+)\. ", RULES, flags=re.MULTILINE)
    return {int(number): text for number, text in zip(parts[1::2], parts[2::2], strict=True)}


@cache
def functions(path: str) -> dict[str, str]:
    """Return the tests in the file at ``path`` by name, each with what is said of it.

    That is its own docstring and names, and those of its class and its file.
    """
    tree = ast.parse((ROOT / path).read_text())
    found = {}
    for inner, outer in (
        (node, owner)
        for owner in (tree, *(node for node in tree.body if isinstance(node, ast.ClassDef)))
        for node in owner.body
    ):
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
            is_method = isinstance(outer, ast.ClassDef)
            name = f"{outer.name}::{inner.name}" if is_method else inner.name
            docstrings = (ast.get_docstring(node) or "" for node in (tree, outer, inner))
            said = "\n".join([name.replace("_", " "), *docstrings])
            found[name] = re.sub(r"Rule(\d+)", r"rule \1 ", said)
    return found


def is_there(test: str) -> bool:
    """Tell whether ``test`` names a transcript, a file of tests, or a test in one."""
    path, _, name = test.partition("::")
    if not (ROOT / path).is_file():
        return False
    return not name or (name.rpartition("::")[2].startswith("test") and name in functions(path))


def names_rule(test: str, number: int) -> bool:
    path, _, name = test.partition("::")
    said = functions(path)[name] if name else (ROOT / path).read_text().partition("----")[0]
    lists = (match.group(1) for match in _NUMBERS.finditer(said))
    return str(number) in {each for text in lists for each in re.findall(r"\d+", text)}


@pytest.mark.parametrize("document", TEXTS)
def test_every_test_that_is_named_exists(document: str) -> None:
    named = set(_TEST.findall(TEXTS[document]))

    assert named
    assert [] == sorted(test for test in named if not is_there(test))


def test_all_25_rules_are_there() -> None:
    assert list(range(1, 26)) == list(sections())


@pytest.mark.parametrize("number", range(1, 26))
def test_a_rule_has_a_test_that_names_it(number: int) -> None:
    tests = _TEST.findall(sections()[number])

    assert any(names_rule(test, number) for test in tests)


@pytest.mark.parametrize("number", sorted(_SHOWN_BY_GO))
def test_a_rule_that_go_has_shown_is_held_with_real_go_peers(number: int) -> None:
    with_go = re.findall(r"^- \*\*Go\*\* `(tests/interop/[^`]+)`", sections()[number], re.MULTILINE)

    assert any(names_rule(test, number) for test in with_go)


@pytest.mark.parametrize(
    "test",
    [
        "tests/core/test_refusals.py::test_nothing_of_the_kind",
        "tests/core/test_refusals.py::picture",
        "tests/core/test_nothing.py::test_a",
        "tests/scenarios/nothing.txt",
        "tests/core/test_transfer.py::test_by_default_it_is_the_voter_with_the_longest_log",
    ],
)
def test_a_name_of_nothing_is_seen(test: str) -> None:
    assert not is_there(test)


def test_a_test_that_does_not_name_its_rule_is_seen() -> None:
    by_go = "tests/interop/test_migration.py::test_a_running_go_peer_is_not_taken_over"
    by_class = "tests/core/test_transfer.py::TestRule21::test_mixed_rule_21_writes_are_stopped"

    assert names_rule(by_go, 3)
    assert not names_rule(by_go, 4)
    assert names_rule(by_class, 21)
    assert not names_rule(by_class, 2)


def _table(title: str) -> list[list[str]]:
    _, _, text = TEXTS["features"].partition(f"## {title}\n")
    rows = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.split(" | ")] for row in rows[2:]]


API: Final = _table("hashicorp/raft's API, name by name")


@pytest.mark.parametrize(
    "title",
    [
        "All that hashicorp/raft has",
        "What hashicorp/raft has not",
        "What is refused",
        "hashicorp/raft's API, name by name",
    ],
)
def test_every_row_of_a_table_of_features_names_a_test(title: str) -> None:
    rows = _table(title)

    assert rows
    assert [] == [row[0] for row in rows if not _TEST.search(row[-1])]


@pytest.mark.parametrize("row", API, ids=[row[0].strip("| ") for row in API])
def test_what_is_named_for_hashicorps_api_is_there(row: list[str]) -> None:
    for name in re.findall(r"`([A-Za-z][\w.]+)`", row[1]):
        if name not in {"extensions", "timeout_s"}:
            assert _found(name) is not None


def test_no_name_of_hashicorps_api_is_left_out() -> None:
    """The methods of ``Raft``, the functions and the fields of ``Config`` that 1.7.3 exports."""
    gaps = TEXTS["features"].partition("## Gaps")[2]
    told = " ".join([*(row[0] for row in API), *re.findall(r"`[^`]+`", gaps)])

    assert [] == [name for name in GO_API.split() if not re.search(rf"\b{name}\b", told)]


def _found(dotted: str) -> object:
    """Return what ``dotted`` names in ``raft_over_libp2p``: a name, one of a class, one of a module."""
    found: object = raft_over_libp2p
    module = "raft_over_libp2p"
    for part in dotted.split("."):
        if part[0].islower() and find_spec(f"{module}.{part}") is not None:
            module = f"{module}.{part}"
            found = import_module(module)
        else:
            found = getattr(found, part)
    return found
