"""A process that may not have more than so much memory: the kernel ends it when it does."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MemoryGroup", "can_limit_memory", "limited_memory"]

_V1 = Path("/sys/fs/cgroup/memory")
_V2 = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryGroup:
    """A control group with a limit, of version 1 or 2 of the kernel's interface."""

    path: Path
    is_v2: bool

    def add(self, pid: int) -> None:
        (self.path / "cgroup.procs").write_text(str(pid))

    @property
    def most_used_bytes(self) -> int:
        name = "memory.peak" if self.is_v2 else "memory.max_usage_in_bytes"
        return int((self.path / name).read_text())


def _root() -> tuple[Path, bool] | None:
    if os.geteuid() != 0:
        return None
    if (_V1 / "memory.limit_in_bytes").exists():
        return _V1, False
    controllers = _V2 / "cgroup.subtree_control"
    if controllers.exists() and "memory" in controllers.read_text():
        return _V2, True
    return None


def can_limit_memory() -> bool:
    """Tell whether this process may make control groups that limit memory."""
    return _root() is not None


@contextmanager
def limited_memory(name: str, limit_bytes: int) -> Iterator[MemoryGroup]:
    """Make a group for processes to be added to; they must have ended before the block does."""
    found = _root()
    if found is None:
        message = "no memory control groups here; see can_limit_memory()"
        raise OSError(message)
    root, is_v2 = found
    group = MemoryGroup(root / f"raft-test-{os.getpid()}-{name}", is_v2)
    group.path.mkdir()
    try:
        limit = "memory.max" if is_v2 else "memory.limit_in_bytes"
        (group.path / limit).write_text(str(limit_bytes))
        yield group
    finally:
        # The kernel frees an ended process a moment after it is waited for.
        for _ in range(100):
            with contextlib.suppress(OSError):
                group.path.rmdir()
                break
            time.sleep(0.05)
