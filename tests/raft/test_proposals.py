"""What proposers are told where entries go another way than one after the other."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from raft_over_libp2p.errors import OutcomeUnknown
from raft_over_libp2p.raft.proposals import Proposals
from raft_over_libp2p.types import Index, LogEntry, Term


async def test_what_became_of_an_entry_that_a_snapshot_covers_is_unknown(autojump_clock) -> None:
    proposals = Proposals()

    async with trio.open_nursery() as nursery:

        async def await_it() -> None:
            with pytest.raises(OutcomeUnknown, match="entry 5 may still be applied: a snapshot"):
                await proposals.await_entry(Index(5), Term(1), lambda: None, timeout_s=5)

        nursery.start_soon(await_it)
        await trio.testing.wait_all_tasks_blocked()
        proposals.resolve([LogEntry(Index(9), Term(2))], [None], None)
