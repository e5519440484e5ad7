"""One run: a cluster, its clients, faults from a schedule; then it is healed, and judged."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import trio

from tests.chaos.history import ABSENT, Operation
from tests.chaos.judging import judge
from tests.chaos.namespaces import mount_disk, unmount_disk
from tests.chaos.nemesis import Nemesis
from tests.chaos.network import Network, open_network
from tests.chaos.peers import GoPeer, Peer, PythonPeer, members_of
from tests.chaos.router import Counts
from tests.chaos.schedule import Schedule
from tests.chaos.settling import HEAL_S, settle
from tests.chaos.workload import Workload

__all__ = ["Plan", "Result", "build_clock", "run_cluster"]

_CLIENTS: Final = 16
_DISK_MEBIBYTES: Final = 80
"""The log's two segments of 16 MiB, a third while one is let go, and snapshots of some KiB."""
_LEADER_S: Final = 120.0
_POLL_S: Final = 0.25
_FINAL_CLIENT: Final = -1
"""In the history: the reads after everything healed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run. ``languages`` names each peer's: ``python`` or ``go``."""

    schedule: Schedule
    languages: Sequence[str]
    folder: Path
    checker: Path
    go_peer: Path | None = None
    clock: Path | None = None
    """The preloaded library that shifts wall clocks; without it they do not jump."""


@dataclass(slots=True)
class Result:
    """What came of a run."""

    operations: int = 0
    """Calls that were done, or may have been: what the judge had to explain."""
    faults: int = 0
    violations: list[str] = field(default_factory=list)
    lost: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def is_bad(self) -> bool:
        return bool(self.violations or self.lost)


def build_clock(folder: Path) -> Path | None:
    """Compile the library that shifts clocks; None where there is no C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    source = Path(__file__).resolve().parent / "clock.c"
    library = folder / "clock.so"
    subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True
    )
    return library


async def run_cluster(plan: Plan) -> Result:
    """Run ``plan`` to its end. Must be called in the main thread, with mounts kept private."""
    result = Result()
    plan.folder.mkdir(parents=True, exist_ok=True)
    plan.schedule.write(plan.folder / "schedule.json")
    addresses = [f"10.77.0.{number}" for number in range(1, len(plan.languages) + 1)]
    with open_network(addresses, plan.schedule.seed) as network:
        async with _open_peers(plan, network, result) as peers:
            workload = Workload(plan.schedule.seed, peers, _CLIENTS)
            nemesis = Nemesis(
                network,
                peers,
                has_clocks=plan.clock is not None,
            )
            await _play(plan, peers, workload, nemesis, result)
        counts = network.end()
    _tell(plan, nemesis, counts, result)
    return result


@asynccontextmanager
async def _open_peers(plan: Plan, network: Network, result: Result) -> AsyncIterator[list[Peer]]:
    """Yield running peers; ends them, and keeps their disks when ``result`` is bad by then."""
    members = members_of(plan.languages, network.namespaces)
    async with trio.open_nursery() as nursery:
        peers: list[Peer] = []
        for member in members:
            disk = plan.folder / "disks" / member.name
            mount_disk(disk, _DISK_MEBIBYTES)
            if member.language == "go":
                if plan.go_peer is None:
                    raise ValueError("a Go peer needs its binary")
                peers.append(GoPeer(member, disk, plan.go_peer, members, nursery))
                continue
            log = plan.folder / f"{member.name}.log"
            python = PythonPeer(member, disk, log, plan.clock)
            python.make_folder(members)
            peers.append(python)
        try:
            async with trio.open_nursery() as starting:
                for peer in peers:
                    starting.start_soon(peer.start)
            yield peers
        finally:
            with trio.CancelScope(shield=True):
                for peer in peers:
                    await peer.kill()
                for member in members:
                    disk = plan.folder / "disks" / member.name
                    if result.is_bad:
                        shutil.copytree(disk, plan.folder / f"{member.name}-disk")
                    unmount_disk(disk)
            nursery.cancel_scope.cancel()


async def _play(
    plan: Plan, peers: Sequence[Peer], workload: Workload, nemesis: Nemesis, result: Result
) -> None:
    if not await _until(_LEADER_S, lambda: _leads(nemesis)):
        result.violations.append("no leader before the first fault")
        return
    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as running:
            running.start_soon(workload.run)
            nursery.start_soon(nemesis.supervise)
            with trio.move_on_after(plan.schedule.seconds):
                await nemesis.play(plan.schedule)
                await trio.sleep_forever()
            workload.end()
        healing_from = trio.current_time()
        await nemesis.heal()
        final = await settle(peers, nemesis)
        result.notes.append(f"healed in {trio.current_time() - healing_from:.1f} s")
        if final is None:
            result.violations.append(f"no common state {HEAL_S:g} s after the last fault")
            result.notes += [f"{p.member.name}: {await p.standing()}" for p in peers]
        nursery.cancel_scope.cancel()
    history = workload.history
    if final is not None:
        history += await _final_reads(peers, workload.cids)
    judgement = judge(plan.checker, history, final, plan.folder)
    result.violations += judgement.violations + nemesis.ended
    result.operations, result.lost = judgement.operations, len(judgement.lost)
    result.notes += [f"lost: {write}" for write in judgement.lost]
    outcomes = Counter((call.kind, call.outcome) for call in history)
    told = ", ".join(f"{kind} {outcome} {n}" for (kind, outcome), n in sorted(outcomes.items()))
    result.notes.append(f"calls: {told}")


async def _leads(nemesis: Nemesis) -> bool:
    return await nemesis.leader() is not None


async def _until(within_s: float, holds: Callable[[], object]) -> bool:
    with trio.move_on_after(within_s):
        while True:
            if await holds():
                return True
            await trio.sleep(_POLL_S)
    return False


async def _final_reads(peers: Sequence[Peer], cids: Sequence[str]) -> list[Operation]:
    """Read the whole pinset through each daemon, as one read of each CID that was ever used."""
    reads: list[Operation] = []
    for peer in peers:
        if isinstance(peer, PythonPeer):
            begun_ns = time.monotonic_ns()
            state = await peer.pins(is_linearizable=True)
            ended_ns = time.monotonic_ns()
            if state is not None:
                reads += [
                    Operation(
                        _FINAL_CLIENT, peer.number, "read", cid, state.get(cid, ABSENT),
                        begun_ns, ended_ns, "done",
                    )
                    for cid in cids
                ]  # fmt: skip
    return reads


def _tell(plan: Plan, nemesis: Nemesis, counts: Counts, result: Result) -> None:
    with (plan.folder / "events.ndjson").open("w") as file:
        file.writelines(json.dumps(event) + "\n" for event in nemesis.events)
    result.faults = nemesis.struck.total()
    struck = ", ".join(f"{kind} {number}" for kind, number in sorted(nemesis.struck.items()))
    result.notes.append(f"faults: {struck}")
    result.notes.append(f"packets: {', '.join(f'{k} {v}' for k, v in asdict(counts).items())}")
    result.notes += [f"at its start, its disk full, {end}" for end in nemesis.not_started]
    if plan.clock is None:
        result.notes.append("no C compiler: wall clocks did not jump")
