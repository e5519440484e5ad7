"""Who belongs to the cluster: the latest and the committed configuration (thesis 4.1).

A configuration holds from the moment its entry is in the log, committed or not, and is
rolled back when that entry is truncated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from raft_over_libp2p.types import NO_INDEX, Configuration, Index, ServerID

__all__ = ["Membership", "PlacedConfiguration"]


@dataclass(frozen=True, slots=True)
class PlacedConfiguration:
    """A configuration and the index of the entry that brought it."""

    index: Index
    configuration: Configuration


class Membership:
    """The configurations a server may still have to fall back to, oldest first.

    All but the last are agreed on: no leader starts a change before the one before it is
    committed. The first is the one in force at the last applied entry.
    """

    def __init__(self, base: PlacedConfiguration, later: Iterable[PlacedConfiguration]) -> None:
        """Start from the snapshot's configuration (or none) and the log's, oldest first."""
        self._placed = [base, *later]
        self._commit_index = NO_INDEX

    @property
    def latest(self) -> PlacedConfiguration:
        """The newest configuration in the log: the one that counts votes and matches."""
        return self._placed[-1]

    @property
    def committed(self) -> PlacedConfiguration:
        """The newest configuration known to be agreed on."""
        if len(self._placed) == 1 or self.is_latest_committed:
            return self._placed[-1]
        return self._placed[-2]

    @property
    def is_latest_committed(self) -> bool:
        """Whether the latest configuration is known to be agreed on."""
        return self._placed[-1].index <= self._commit_index

    def append(self, placed: PlacedConfiguration) -> None:
        """Take a configuration as the latest, at once."""
        self._placed.append(placed)

    def truncate(self, first_removed: Index) -> bool:
        """Fall back to what is left of the log; return whether the latest one changed."""
        before = len(self._placed)
        while len(self._placed) > 1 and self._placed[-1].index >= first_removed:
            self._placed.pop()
        return len(self._placed) != before

    def commit(self, commit_index: Index) -> bool:
        """Note the commit index; return whether the latest configuration became committed by it."""
        was_committed = self.is_latest_committed
        self._commit_index = commit_index
        return self.is_latest_committed and not was_committed

    def restart(
        self, base: PlacedConfiguration, snapshot_index: Index, *, keeps_later: bool
    ) -> None:
        """Start over from a snapshot's configuration, and those after it in a log that is kept."""
        later = [p for p in self._placed if keeps_later and p.index > snapshot_index]
        self._placed = [base, *later]
        self._commit_index = snapshot_index

    def apply(self, applied_index: Index) -> None:
        """Forget what was in force before ``applied_index``."""
        while len(self._placed) > 1 and self._placed[1].index <= applied_index:
            del self._placed[0]

    @property
    def applied(self) -> PlacedConfiguration:
        """The configuration in force at the last applied entry: a snapshot there carries it."""
        return self._placed[0]

    def is_voter(self, server_id: ServerID) -> bool:
        """Tell whether ``server_id`` votes in the latest or in the committed configuration."""
        return self.latest.configuration.is_voter(
            server_id
        ) or self.committed.configuration.is_voter(server_id)

    def ever_had(self, server_id: ServerID) -> bool:
        """Tell whether ``server_id`` is in any configuration known here."""
        return any(placed.configuration.has(server_id) for placed in self._placed)

    def has(self, server_id: ServerID) -> bool:
        """Tell whether ``server_id`` is in the latest or in the committed configuration."""
        return self.latest.configuration.has(server_id) or self.committed.configuration.has(
            server_id
        )
