"""Faults where no simulated core is: in the data folder, in migration, in a peer's component.

With each goes a function that plays a world of its kind, and raises ``Violation`` if a check there
finds something wrong.
"""

from __future__ import annotations

import trio
from trio.testing import MockClock

from pinstate.log_op import LogOp, OpCodec
from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.errors import StorageError
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.storage.go_export import export_to_go
from raft_over_libp2p.storage.go_folder import GoFolder
from raft_over_libp2p.storage.go_import import import_go_folder
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.types import ServerID, Term
from tests.node.world import PEERS, a_world
from tests.simulation.faults import fault_of
from tests.simulation.violation import violated
from tests.storage.crash_seeds import run_until
from tests.storage.go_stores import ME, OTHER, make_store, members_entry

__all__ = [
    "ADDRESS_CHANGES_THE_CONFIGURATION",
    "DIRECTORY_NOT_SYNCED",
    "EXPORT_WITHOUT_TERM",
    "TORN_VOTE_TAKEN_OVER",
    "TRUNCATION_NOT_WRITTEN",
    "VOTE_IN_TWO_WRITES",
    "address_of_a_stranger_in_the_log",
    "crash_images",
    "given_back_to_go",
    "taken_over_from_go",
]

_CRASHES = "crash images"
_STORAGE = "raft_over_libp2p.storage"
_IMAGES = 4_000

VOTE_IN_TWO_WRITES = fault_of(
    "a new term is on the disk with an old vote",
    "vote_store:VoteStore.save",
    "        self._write(saved)\n",
    "        torn = HardState(state.term, self._saved.state.vote)\n"
    "        self._write(_Saved(saved.sequence, torn, saved.durable_batch))\n"
    "        saved = _Saved(saved.sequence + 1, state, saved.durable_batch)\n"
    "        self._write(saved)\n",
    _CRASHES,
    package=_STORAGE,
)
TRUNCATION_NOT_WRITTEN = fault_of(
    "a truncation is not on the disk when it is answered for",
    "log_store:SegmentedLog.write",
    "    if not entries and first == self._index.last + 1:\n",
    "    if not entries:\n        self._index.replace_from(Index(first), 1, [], [], [], [])\n",
    _CRASHES,
    package=_STORAGE,
)
DIRECTORY_NOT_SYNCED = fault_of(
    "a directory is not synced after a rename",
    "segment:create_segment",
    "fs.sync_directory(directory)",
    "pass",
    _CRASHES,
    package=_STORAGE,
)
TORN_VOTE_TAKEN_OVER = fault_of(
    "a vote of a later term than Go's current one is not taken over",
    "go_folder:_examine",
    "max(stored.current_term, stored.last_vote_term, stored_last_term, snapshot_term)",
    "max(stored.current_term, stored_last_term, snapshot_term)",
    "one vote a term",
    package=_STORAGE,
)
EXPORT_WITHOUT_TERM = fault_of(
    "a folder goes to Go without its term",
    "go_export:_conf",
    "items = [(CURRENT_TERM, uint64_key(state.term))]",
    "items = []",
    "an export is read back",
    package=_STORAGE,
)
ADDRESS_CHANGES_THE_CONFIGURATION = fault_of(
    "applying an address changes the configuration",
    "membership:Membership._take_in",
    "        self._addresses.remember(peer, multiaddr)\n",
    "        self._addresses.remember(peer, multiaddr)\n"
    "        raft = self._oplog().raft\n"
    "        if raft.is_leader and str(peer) not in raft.configuration().ids:\n"
    "            from functools import partial\n"
    "            add = partial(raft.add_nonvoter, ServerID(str(peer)), timeout_s=60.0)\n"
    "            trio.lowlevel.spawn_system_task(add)\n",
    "an address is no membership",
    package="node",
)


def crash_images() -> str:
    """Crash random workloads of log and vote at every moment; return how far that went."""
    checked = run_until(_IMAGES, range(2, 1000, 2))
    if checked.lost:
        violated(_CRASHES, f"{checked.lost[0]}")
    return f"{checked.images} images"


def taken_over_from_go() -> None:
    """Rule 3: Go wrote the term of its vote, and crashed before it wrote its own."""
    fs = FakeFileSystem()
    fs.mkdir("/raft")
    log = [members_entry(1)]
    make_store(fs, "/raft/raft.db", log, term=5, vote_term=6, vote=OTHER.encode())
    with GoFolder(fs, "/raft") as go:
        import_go_folder(fs, go, "/ours", ME, segment_bytes=4096)
    with DataFolder.open("/ours", ME, fs=fs, lock_path="/lock", segment_bytes=4096) as ours:
        state = ours.stable.load()
    if state.term < Term(6) or (state.term == Term(6) and state.vote != OTHER):
        violated("one vote a term", f"the vote for {OTHER} in term 6 was forgotten: {state}")


def given_back_to_go() -> None:
    """Rule 2: a peer that has seen term 8, and voted for nobody in it, becomes Go's again."""
    fs = FakeFileSystem()
    fs.mkdir("/raft")
    make_store(fs, "/raft/raft.db", [members_entry(1)], term=5)
    with GoFolder(fs, "/raft") as go:
        import_go_folder(fs, go, "/ours", ME, segment_bytes=4096)
    with DataFolder.open("/ours", ME, fs=fs, lock_path="/lock", segment_bytes=4096) as ours:
        ours.stable.save(HardState(Term(8)))
        try:
            export_to_go(fs, ours, "/back")
        except StorageError as error:
            violated("an export is read back", str(error))
    with GoFolder(fs, "/back") as back:
        if back.state.hard_state != HardState(Term(8)):
            violated("term never goes back", f"Go would start with {back.state.hard_state}")


def address_of_a_stranger_in_the_log() -> None:
    """Rule 13: operation 3 for a peer that is no member is agreed on and applied."""
    clock = MockClock(autojump_threshold=0)
    is_known, is_member = trio.run(_log_the_address_of_a_stranger, clock=clock)
    if not is_known:
        violated("an address is remembered", "it is not in the address book")
    if is_member:
        violated("an address is no membership", "who has an address in the log became a member")


async def _log_the_address_of_a_stranger() -> tuple[bool, bool]:
    member, stranger, _ = PEERS
    async with a_world() as world, world.peer(member, []) as alone:
        await alone.ready(timeout_s=30)
        op = LogOp.add_peer(f"/ip4/127.0.0.1/tcp/9096/p2p/{stranger}")
        await alone.raft.apply(OpCodec().encode(op), timeout_s=30)
        await trio.sleep(10)
        is_known = world.addresses[member].known(stranger) is not None
        return is_known, ServerID(str(stranger)) in alone.raft.configuration().ids
