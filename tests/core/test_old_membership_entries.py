"""Log types 2 and 3 (``AddPeerDeprecated``, ``RemovePeerDeprecated``): read, never written.

hashicorp/raft ``processConfigurationLogEntry`` takes each as the whole configuration, a list
of voters. ``wire.configuration`` reads the list.
"""

from __future__ import annotations

import pytest

from raft_over_libp2p.errors import LocalProtocolError
from raft_over_libp2p.types import Index, LogEntry, LogType, Term
from tests.core.logs import configuration_entry
from tests.core.solo import Solo, append

OLD_TYPES = [LogType.ADD_PEER_DEPRECATED, LogType.REMOVE_PEER_DEPRECATED]


def old_entry(index: int, kind: LogType, *voters: str) -> LogEntry:
    return LogEntry(Index(index), Term(2), kind, configuration_entry(index, 2, *voters).data)


@pytest.mark.parametrize("kind", OLD_TYPES)
def test_a_follower_goes_by_an_old_entrys_peers_as_soon_as_it_holds_it(kind: LogType) -> None:
    solo = Solo("a", "b", "c")

    solo.answered("b", append(2, (1, 1), [old_entry(2, kind, "a", "b", "c", "d")]))

    assert ("a", "b", "c", "d") == solo.status.configuration.voters
    assert 2 == solo.status.configuration_index


@pytest.mark.parametrize("kind", OLD_TYPES)
def test_a_truncated_old_entry_is_rolled_back(kind: LogType) -> None:
    solo = Solo("a", "b", "c")
    solo.answered("b", append(2, (1, 1), [old_entry(2, kind, "a", "b")]))

    noop = LogEntry(Index(2), Term(3), LogType.NOOP)
    solo.answered("c", append(3, (1, 1), [noop], leader="c"))

    assert ("a", "b", "c") == solo.status.configuration.voters


@pytest.mark.parametrize("kind", OLD_TYPES)
def test_a_server_starts_with_an_old_entrys_peers(kind: LogType) -> None:
    solo = Solo("a", "b", "c", log=[old_entry(2, kind, "a", "b")])

    assert ("a", "b") == solo.status.configuration.voters


@pytest.mark.parametrize("kind", [*OLD_TYPES, LogType.CONFIGURATION])
def test_nobody_proposes_a_configuration_as_data(kind: LogType) -> None:
    solo = Solo("a", "b", "c")
    solo.lead_with_commit("b")

    with pytest.raises(LocalProtocolError):
        solo.machine.propose([b""], solo.now, type=kind)
