"""A hundred thousand images of random workloads, and faults that must show among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.storage import recovery
from raft_over_libp2p.storage.vote_store import VoteStore
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from tests.storage.crash_seeds import run_until

_PARTS = 16
_IMAGES = 6_400
"""Of each part: 102 400 in all."""


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("part", range(_PARTS))
def test_no_crash_of_a_random_workload_loses_or_invents_anything(part: int) -> None:
    checked = run_until(_IMAGES, range(part * 1000, part * 1000 + 1000))

    assert [] == checked.lost
    assert checked.images >= _IMAGES


def _term_and_vote_in_two_writes(patch: pytest.MonkeyPatch) -> None:
    save = VoteStore.save

    def torn(self: VoteStore, state: HardState) -> None:
        save(self, HardState(state.term, self.load().vote))
        save(self, state)

    patch.setattr(VoteStore, "save", torn)


def _names_in_a_snapshot_not_synced(patch: pytest.MonkeyPatch) -> None:
    real = FakeFileSystem.sync_directory
    patch.setattr(
        FakeFileSystem,
        "sync_directory",
        lambda self, path: None if path.endswith(".tmp") else real(self, path),
    )


def _new_segments_not_synced(patch: pytest.MonkeyPatch) -> None:
    real = FakeFileSystem.sync_directory
    patch.setattr(
        FakeFileSystem,
        "sync_directory",
        lambda self, path: None if path == "/raft/log" else real(self, path),
    )


def _disagreeing_log_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recovery, "_follows", lambda *_: True)


@pytest.mark.parametrize(
    "fault",
    [
        _term_and_vote_in_two_writes,
        _names_in_a_snapshot_not_synced,
        _new_segments_not_synced,
        _disagreeing_log_kept,
    ],
)
def test_a_seeded_fault_shows_in_a_few_workloads(
    fault: Callable[[pytest.MonkeyPatch], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)

    assert run_until(4_000, range(1000)).lost
