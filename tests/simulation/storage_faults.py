"""Faults seeded into the storage code, to show that worlds on real disks see them (see ``faults``)."""

from __future__ import annotations

from tests.simulation.faults import Fault

__all__ = ["STORAGE_FAULTS"]


def _fault(
    name: str, where: str, old: str, new: str, *, first_seed: int = 0, within_seeds: int = 40
) -> Fault:
    """Return a fault; seeds without real disks do not count."""
    return Fault(
        name=name,
        where=where,
        old=old,
        new=new,
        caught_by=frozenset({"storage"}),
        within_seeds=within_seeds,
        first_seed=first_seed,
        package="raft_over_libp2p.storage",
    )


STORAGE_FAULTS = (
    _fault(
        "the log is not synced",
        "log_store:SegmentedLog._append_batch",
        "    tail.file.fdatasync()\n",
        "",
    ),
    _fault(
        "a reset is not synced",
        "log_store:SegmentedLog._append_batch",
        "    tail.file.fdatasync()\n",
        "    if not is_reset:\n        tail.file.fdatasync()\n",
    ),
    _fault(
        "the vote is not synced",
        "vote_store:VoteStore._write",
        "    self._file.fdatasync()\n",
        "",
    ),
    _fault(
        "vote and term are two writes",
        "vote_store:VoteStore._write",
        "    self._file.pwrite(_encode(saved)",
        "    half = _Saved(saved.sequence, HardState(saved.state.term), saved.durable_batch)\n"
        "    self._file.pwrite(_encode(half), saved.sequence % 2 * _SLOT_BYTES)\n"
        "    self._file.fdatasync()\n"
        "    self._file.pwrite(_encode(saved)",
    ),
    _fault(
        "a snapshot gets its name before it is synced",
        "snapshot_sink:FileSnapshotSink.seal",
        "    self._file.fdatasync()\n",
        "",
    ),
    _fault(
        "a snapshot's name is not synced, and the log before it goes",
        "snapshot_sink:FileSnapshotSink.finish",
        "    self._fs.sync_directory(self._directory)\n",
        "",
    ),
    _fault(
        "the names in a snapshot are not synced",
        "snapshot_sink:FileSnapshotSink.seal",
        "        self._fs.sync_directory(self._path)\n",
        "        pass\n",
    ),
    _fault(
        "what ran out of space stays behind the log",
        "log_store:SegmentedLog._append_batch",
        "self._remains_bytes = size",
        "pass",
        first_seed=366,
        within_seeds=5,
    ),
    _fault(
        "a start trusts what it read",
        "log_scan:_make_durable",
        "tail.file.close()",
        "scan.segments[-1].capacity = tail.file.size()\n    return",
        first_seed=405,
    ),
    _fault(
        "a new segment's name is not synced",
        "segment:create_segment",
        "    fs.sync_directory(directory)\n",
        "",
    ),
    _fault(
        "removed segments are not synced one by one",
        "log_store:SegmentedLog._remove_segment",
        "    self._fs.sync_directory(self._directory)\n",
        "",
    ),
    _fault(
        "a log that a snapshot disagrees with is kept",
        "recovery:load_initial_state",
        "if not _follows(log, snapshot):",
        "if False:",
        first_seed=567,
        within_seeds=5,
    ),
)
