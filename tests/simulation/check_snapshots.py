"""Snapshots stand for the log up to their index, and only what they cover may go (thesis 5; rules 12, 16)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raft_over_libp2p.core.messages import InstallSnapshotRequest
from raft_over_libp2p.core.ready import SnapshotMeta, Write
from raft_over_libp2p.types import Configuration, Index, Term
from tests.simulation.snapshot_store import Snapshot
from tests.simulation.violation import violated

if TYPE_CHECKING:
    from tests.simulation.check_commitment import CommitmentCheck
    from tests.simulation.server import Server

__all__ = ["SnapshotCheck"]


class SnapshotCheck:
    """Compares each snapshot with the replay of what the cluster agreed on."""

    def __init__(self, commitment: CommitmentCheck) -> None:
        self.commitment = commitment

    def taken(self, server: Server, meta: SnapshotMeta) -> None:
        """``server`` is asked to take a snapshot now."""
        if meta.index != server.applied:
            violated(
                "a snapshot is of what was applied",
                f"{server.id} is asked for {meta}, and {server.applied} was applied",
            )
        self._agreed(server, meta.index, meta.term, "takes")
        self._carries(server, meta.index, meta.configuration, meta.configuration_index)
        if server.digest != self.commitment.digests[meta.index]:
            violated("a snapshot is the replay", f"{server.id}'s state at {meta.index} is another")

    def taken_by_go(self, server: Server, meta: SnapshotMeta, digest: int) -> None:
        """A Go peer takes one of the last entry its state machine saw."""
        self._agreed(server, meta.index, meta.term, "takes")
        self._carries(server, meta.index, meta.configuration, meta.configuration_index)
        if digest != self.commitment.digests[meta.index]:
            violated("a snapshot is the replay", f"{server.id}'s state at {meta.index} is another")

    def sent(self, server: Server, request: InstallSnapshotRequest) -> None:
        """``server`` sends what it believes to have in its store."""
        self._agreed(server, request.last_log_index, request.last_log_term, "sends")
        self._carries(
            server, request.last_log_index, request.configuration, request.configuration_index
        )

    def adopted(self, server: Server, snapshot: Snapshot, sent_in: Term, judged_in: Term) -> None:
        """``server`` takes a snapshot for its state machine; its leader sent it in ``sent_in``."""
        meta = snapshot.meta
        if judged_in != sent_in:
            violated(
                "a snapshot is its leader's",
                f"{server.id} adopts {meta} of term {sent_in}, and was in {judged_in} already",
            )
        self._agreed(server, meta.index, meta.term, "adopts")
        if meta.index <= max(server.applied, server.commit_index):
            violated(
                "applied never goes back",
                f"{server.id} adopts a snapshot at {meta.index}; it applied {server.applied} and "
                f"knows {server.commit_index} to be committed",
            )
        if snapshot.digest != self.commitment.digests[meta.index]:
            violated("a snapshot is the replay", f"{server.id} adopts another state")
        if not server.log.holds(meta.index, meta.term):
            violated(
                "a log agrees with its snapshot",
                f"{server.id} adopts {meta} and keeps a log of {len(server.log)} without it",
            )

    def write(self, server: Server, write: Write) -> None:
        """Check a batch before ``server.log`` takes it over."""
        if write.reset_to is not None:
            self._reset(server, Index(write.reset_to - 1))

    def _reset(self, server: Server, index: Index) -> None:
        newest, log = server.disk.snapshots.newest, server.log
        if newest is None or newest.meta.index < index:
            violated(
                "reset behind a snapshot",
                f"{server.id} discards its log up to {index}; its newest snapshot is {newest}",
            )
        if index < server.commit_index:
            violated(
                "no truncation of what is committed",
                f"{server.id} discards its log for a snapshot at {index}; "
                f"{server.commit_index} is committed",
            )
        acknowledged, term = server.acknowledged
        if (
            log.holds(index, self.commitment.entries[index - 1].term)
            and acknowledged > index
            and log.holds(acknowledged, term)
        ):
            violated(
                "acknowledged entries stay",
                f"{server.id} discards its log for a snapshot at {index} it agrees with, and "
                f"acknowledged ({acknowledged}, {term})",
            )

    @staticmethod
    def compaction(server: Server, upto: Index) -> None:
        """``server`` lets entries up to ``upto`` go, and adopted what it adopts with that."""
        server.world.marks["compaction"] += 1
        covered = server.disk.snapshots.newest_index
        if upto > min(server.applied, covered):
            violated(
                "compaction behind a snapshot",
                f"{server.id} removes entries up to {upto}; it applied {server.applied}, and its "
                f"newest durable snapshot is at {covered}",
            )

        for flight in server.outstanding.values():
            request = flight.request
            if (
                isinstance(request, InstallSnapshotRequest)
                and flight.core == server.core
                and request.term == server.leading_term
                and upto > request.last_log_index
                and server.log.latest.configuration.has(flight.target.id)
                and request.configuration_index == server.log.in_force_at(upto).index
            ):
                violated(
                    "compaction keeps what follows a snapshot on its way",
                    f"{server.id} removes entries up to {upto} while {request} is on its way",
                )

    def _agreed(self, server: Server, index: Index, term: Term, does: str) -> None:
        entries = self.commitment.entries
        if not 0 < index <= len(entries) or entries[index - 1].term != term:
            violated(
                "snapshot of what is agreed on",
                f"{server.id} {does} a snapshot at ({index}, {term}), which is not agreed on",
            )

    def _carries(
        self, server: Server, index: Index, configuration: Configuration, placed_at: Index
    ) -> None:
        in_force = self.commitment.entries.in_force_at(index)
        if (in_force.index, in_force.configuration) != (placed_at, configuration):
            violated(
                "a snapshot carries its configuration",
                f"{server.id}'s at {index} has {configuration} of {placed_at}, but {in_force} is "
                "in force there",
            )
