from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from raft_over_libp2p.storage.filesystem import FileSystem, RealFileSystem
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem


@dataclass(frozen=True)
class Disk:
    """A file system and an empty directory on it, private to one test."""

    fs: FileSystem
    root: str


@pytest.fixture(params=["real", "fake"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    if request.param == "real":
        return Disk(RealFileSystem(), str(tmp_path))
    fs = FakeFileSystem()
    fs.mkdir("/root")
    return Disk(fs, "/root")
