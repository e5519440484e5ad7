"""A handover cut short anywhere: never can both sides start, and running it again finishes it.

The power is cut after every single change the handover makes, with every subset of what was
not yet synced kept or lost; or the program alone is killed there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import pytest

from node.migration.from_go import take_over
from node.migration.handover import Direction, Handover
from node.migration.peer_folder import PeerFolder
from node.migration.resuming import HandoverUnfinished, resume
from node.migration.to_go import give_back
from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.errors import DiskFull, DurabilityLost, StorageError
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.storage.go_folder import GoFolder
from raft_over_libp2p.storage.go_import import stored_entries
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.types import Index, LogEntry, Term
from tests.storage.entries import entries
from tests.storage.go_stores import ME, OTHER, make_snapshot, make_store, members_entry

BASE: Final = "/base"
RAFT: Final = f"{BASE}/raft"
NEW: Final = "/new"
STAMP: Final = "20260102T030405Z"
LOG: Final = [members_entry(1), *entries(2, 6, term=2)]
VOTE: Final = HardState(Term(4), OTHER)
SNAPSHOT: Final = b""  # the empty pinset
FILES: Final = {"identity.json": b"{}", "service.json": b"{}", "peerstore": b""}
PEER: Final = PeerFolder(base=BASE, raft=RAFT, peer_id=ME, files=FILES)
_SEGMENT: Final = 4096


class Case(NamedTuple):
    direction: Direction
    target: str | None
    snapshot: int


CASES = [
    pytest.param(Case(direction, target, snapshot), id=f"{direction} {where} {what}")
    for direction in ("from-go", "to-go")
    for target, where in ((None, "in place"), (NEW, "elsewhere"))
    for snapshot, what in ((0, "without a snapshot"), (3, "with one"))
]
each_case = pytest.mark.parametrize("case", CASES)


def _put(fs: FakeFileSystem, path: str, data: bytes) -> None:
    file = fs.open_file(path, create=True)
    file.pwrite(data, 0)
    file.fdatasync()


def _sync(fs: FakeFileSystem, path: str) -> None:
    for name in fs.listdir(path):
        if fs.is_directory(f"{path}/{name}"):
            _sync(fs, f"{path}/{name}")
        else:
            fs.open_file(f"{path}/{name}").fdatasync()
    fs.sync_directory(path)


def before(case: Case) -> FakeFileSystem:
    """Return a stopped peer of the old side."""
    fs = FakeFileSystem()
    fs.mkdir(BASE)
    for name, content in FILES.items():
        _put(fs, f"{BASE}/{name}", content)
    if case.direction == "from-go":
        fs.mkdir(RAFT)
        make_store(fs, f"{RAFT}/raft.db", LOG, term=4, vote_term=4, vote=OTHER.encode())
    else:
        with DataFolder.open(RAFT, ME, fs=fs, segment_bytes=_SEGMENT) as folder:
            folder.stable.save(VOTE)
            folder.log.write(None, LOG)
        fs.mkdir(f"{RAFT}/raft.db")  # as in every folder that was taken over from Go
    if case.snapshot:
        make_snapshot(fs, RAFT, case.snapshot, 2, [SNAPSHOT])
    fs.lock(f"{BASE}/cluster.lock").close()
    _sync(fs, "")
    fs.kill()
    return fs


def migrate(fs: FakeFileSystem, case: Case) -> None:
    """Do as the command does, first or again."""
    if resume(fs, BASE, case.direction, case.target) is not None:
        return
    if case.direction == "from-go":
        take_over(fs, PEER, case.target, STAMP, segment_bytes=_SEGMENT)
    else:
        give_back(fs, PEER, case.target, STAMP, segment_bytes=_SEGMENT)


def can_go_start(fs: FakeFileSystem, base: str) -> bool:
    """As ipfs-cluster-service 1.1.6 behaves: it makes what is missing, but for its identity."""
    if not (fs.exists(f"{base}/identity.json") and fs.exists(f"{base}/service.json")):
        return False
    raft = f"{base}/raft"
    if not fs.exists(raft):
        return True  # with no memory of its vote
    return fs.is_directory(raft) and not fs.is_directory(f"{raft}/raft.db")


def can_we_start(fs: FakeFileSystem, base: str) -> bool:
    raft = f"{base}/raft"
    if not (fs.exists(f"{base}/identity.json") and fs.exists(f"{base}/service.json")):
        return False
    if fs.exists(raft) and not fs.is_directory(raft):
        return False
    return not fs.exists(f"{raft}/raft.db") or fs.is_directory(f"{raft}/raft.db")


def has_whole_go_data(fs: FakeFileSystem, base: str, case: Case) -> bool:
    try:
        with GoFolder(fs, f"{base}/raft") as go:
            state, found = go.state, list(go.entries())
    except StorageError:
        return False
    return (VOTE, case.snapshot + 1, LOG[case.snapshot :]) == (
        state.hard_state,
        state.first_index,
        found,
    )


def has_our_whole_data(fs: FakeFileSystem, base: str, case: Case) -> bool:
    if not fs.exists(f"{base}/raft/FORMAT"):
        return False
    fs.kill()
    with DataFolder.open(f"{base}/raft", ME, fs=fs, segment_bytes=_SEGMENT) as folder:
        newest = folder.snapshots.newest()
        found: list[LogEntry] = list(stored_entries(folder, Index(case.snapshot + 1)))
        return (VOTE, case.snapshot, LOG[case.snapshot :]) == (
            folder.stable.load(),
            newest.meta.index if newest else 0,
            found,
        )


def sides(fs: FakeFileSystem, case: Case) -> set[str]:
    """Return which programs could start, and from where."""
    bases = [BASE, NEW] if fs.exists(NEW) else [BASE]
    go = {f"go {base}" for base in bases if can_go_start(fs, base)}
    ours = {f"ours {base}" for base in bases if can_we_start(fs, base)}
    return go | ours


def old_side(case: Case) -> set[str]:
    return {f"go {BASE}" if case.direction == "from-go" else f"ours {BASE}"}


def new_side(case: Case) -> set[str]:
    return {f"{'ours' if case.direction == 'from-go' else 'go'} {case.target or BASE}"}


def check_cut(fs: FakeFileSystem, case: Case) -> None:
    """Look at a disk as a crash left it, and finish what was begun on it."""
    fs.kill()
    able = sides(fs, case)
    assert able in (set(), old_side(case), new_side(case)), able
    holds = {"go": has_whole_go_data, "ours": has_our_whole_data}
    for side in able:
        kind, base = side.split()
        assert holds[kind](fs, base, case), f"{side} could start, and has lost something"
    if able != new_side(case) or fs.exists(f"{BASE}/migration.json"):
        fs.kill()
        migrate(fs, case)
    fs.kill()
    check_done(fs, case)


def check_done(fs: FakeFileSystem, case: Case) -> None:
    assert new_side(case) == sides(fs, case)
    kind, base = next(iter(new_side(case))).split()
    holds = {"go": has_whole_go_data, "ours": has_our_whole_data}
    assert holds[kind](fs, base, case)
    assert not fs.exists(f"{BASE}/migration.json")
    leftovers = [name for place in ("", BASE) for name in fs.listdir(place) if ".tmp" in name]
    assert [] == leftovers
    word = "taken-over" if case.direction == "from-go" else "handed-over"
    backup = f"{RAFT}.{word}-{STAMP}"
    assert fs.exists(f"{backup}/{'raft.db' if case.direction == 'from-go' else 'FORMAT'}")


def moments(case: Case, look: Callable[[FakeFileSystem], None]) -> int:
    """Do it, and look at the disk after every change; return how many there were."""
    fs = before(case)
    count = 0

    def changed() -> None:
        nonlocal count
        count += 1
        fs.after_change = None
        look(fs)
        fs.after_change = changed

    fs.after_change = changed
    migrate(fs, case)
    fs.after_change = None
    check_done(fs, case)
    return count


def _is_handover(fs: FakeFileSystem) -> bool:
    """Whether the old side is being moved: before that it is untouched, whatever is lost."""
    return fs.exists(f"{BASE}/migration.json") or fs.exists(f"{BASE}/migration.json.tmp")


def _images(fs: FakeFileSystem) -> Iterator[FakeFileSystem]:
    yield from fs.crash_images(4096)


@each_case
def test_the_handover_does_what_it_says(case: Case) -> None:
    fs = before(case)
    assert old_side(case) == sides(fs, case)
    migrate(fs, case)
    fs.kill()
    check_done(fs, case)


@each_case
def test_power_lost_at_any_moment_leaves_one_side_at_most_and_a_rerun_finishes(case: Case) -> None:
    images = 0

    def look(fs: FakeFileSystem) -> None:
        nonlocal images
        if not _is_handover(fs):
            return
        for image in _images(fs):
            images += 1
            check_cut(image, case)

    moments(case, look)
    assert images > 20


@each_case
def test_power_lost_while_the_new_side_is_made_leaves_the_old_one(case: Case) -> None:
    """What was not synced is lost; that and everything kept are the two extremes."""
    looks = 0

    def look(fs: FakeFileSystem) -> None:
        nonlocal looks
        looks += 1
        if _is_handover(fs) or looks % 7:
            return

        class Lost:
            def random(self) -> float:
                return 0.0

            def randrange(self, stop: int, /) -> int:
                return 0

        check_cut(fs.crash(Lost()), case)

    assert moments(case, look) > 40


@each_case
def test_a_second_crash_while_it_is_finished_changes_nothing_of_that(case: Case) -> None:
    stopped: list[FakeFileSystem] = []

    def keep(fs: FakeFileSystem) -> None:
        if fs.exists(f"{BASE}/migration.json"):
            stopped.extend(_images(fs))

    moments(case, keep)
    cuts = 0
    for image in stopped[::5]:
        image.kill()

        def again(image: FakeFileSystem = image) -> None:
            nonlocal cuts
            image.after_change = None
            if _is_handover(image):
                for second in _images(image):
                    cuts += 1
                    check_cut(second, case)
            image.after_change = again

        image.after_change = again
        migrate(image, case)
        image.after_change = None
    assert cuts > 5


@each_case
def test_a_failing_directory_sync_is_told_and_a_rerun_finishes(case: Case) -> None:
    first = before(case)
    start = first.directory_syncs
    migrate(first, case)
    failures = 0
    for number in range(start + 1, first.directory_syncs + 1):
        fs = before(case)
        fs.failing_directory_syncs = {number}
        try:
            migrate(fs, case)
        except (DurabilityLost, HandoverUnfinished):
            failures += 1
        fs.failing_directory_syncs = set()
        fs.kill()
        check_cut(fs, case)
    assert failures == first.directory_syncs - start


@each_case
def test_a_full_disk_leaves_the_old_side_as_it_was(case: Case) -> None:
    for capacity in range(10_000, 60_000, 5_000):
        fs = before(case)
        names = fs.listdir(BASE)
        fs.capacity_bytes = capacity
        try:
            migrate(fs, case)
        except DiskFull:
            assert names == fs.listdir(BASE)
            assert old_side(case) == sides(fs, case)
            fs.capacity_bytes = None
        fs.kill()
        check_cut(fs, case)


def test_a_full_disk_takes_the_note_back(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("from-go", None, 0)
    fs = before(case)
    names = fs.listdir(BASE)

    def full(fs: FakeFileSystem, path: str, data: bytes) -> None:
        fs.open_file(path, create=True)
        raise DiskFull("no space")

    monkeypatch.setattr("node.migration.handover.write_file", full)
    with pytest.raises(DiskFull):
        migrate(fs, case)
    assert names == fs.listdir(BASE)


def test_the_order_of_the_handover_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hiding the identity first, Go could start afresh between the renames."""
    monkeypatch.setattr(
        Handover, "identity", property(lambda self: f"{self.base}/no-such-file"), raising=True
    )
    case = Case("from-go", None, 0)

    def look(fs: FakeFileSystem) -> None:
        if _is_handover(fs):
            for image in _images(fs):
                check_cut(image, case)

    with pytest.raises(AssertionError, match="go /base"):
        moments(case, look)
