"""``raft-node demo``: a cluster of one grows to three, loses its leader, loses a member, and agrees."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.errors import ExitCode, NodeError

if TYPE_CHECKING:
    import trio
    from rich.console import Console

    from node.cli.demo_cluster import DemoCluster, DemoPeer
    from node.cli.demo_load import PinLoad
    from node.http.status import StatusBody

__all__ = ["demo_command"]

_START_S = 30.0
_ELECTION_S = 20.0
_CATCH_UP_S = 20.0
_CONNECTIONS = 8
_SNAPSHOT_S = 15.0
_KILL_AFTER = 0.4
"""The part of all files after which the leader is killed."""


@click.command("demo")
@click.option(
    "--keep", is_flag=True, help="Leave the three peers running, and say how to use them."
)
@click.option("--files", type=click.IntRange(min=30), help="Pin only so many files.")
def demo_command(*, keep: bool, files: int | None) -> None:
    """Three peers agree on pins and survive the death of their leader.

    Runs a daemon in a private folder and adds two more to its cluster; pins every file of
    Python's standard library through all of them and kills the leader meanwhile; restarts it;
    removes a peer and has it back with an empty folder; and compares what the peers hold.
    Exit code 0 when all three agree and nothing acknowledged is lost, else 1.
    """
    import trio

    from node.cli.console import stdout
    from raft_over_libp2p.raft.single_error import single_error

    folder = Path(tempfile.mkdtemp(prefix="raft-node-demo-"))
    demo = _Demo(stdout(), folder, keep=keep, files=files)
    try:
        with single_error():
            trio.run(demo.run)
    except NodeError:
        click.echo(f"\nThe peers' folders and logs are kept in {folder}", err=True)
        raise
    if demo.is_interrupted:
        shutil.rmtree(folder)
        raise _Interrupted("interrupted; the three peers were stopped")
    if not keep:
        shutil.rmtree(folder)


class _Interrupted(NodeError):
    exit_code = ExitCode.NOT_DONE


@dataclass(slots=True)
class _Demo:
    console: Console
    folder: Path
    keep: bool
    files: int | None
    is_interrupted: bool = False

    async def run(self) -> None:
        """Tell and do it all, until done or interrupted."""
        import trio

        async with trio.open_nursery() as nursery:
            await nursery.start(self._watch_signals, nursery.cancel_scope)
            await self._tell()
            nursery.cancel_scope.cancel()

    async def _watch_signals(
        self, scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]
    ) -> None:
        import trio

        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                self.is_interrupted = True
                scope.cancel()

    async def _tell(self) -> None:
        import trio

        from node.cli.demo_cluster import new_cluster

        is_kept = trio.Event()
        started = trio.current_time()
        async with new_cluster(self.folder, is_kept=is_kept, connections=_CONNECTIONS) as cluster:
            leader, term = await self._start(cluster, started)
            await self._grow(cluster, leader)
            load, dead, index_then = await self._pin_and_kill(cluster, leader, term)
            await self._restart(cluster, dead, index_then)
            await self._remove_and_add_back(cluster)
            await self._compare(cluster, load)
            if self.keep:
                is_kept.set()
                self._say_how_to_use(cluster)
        self._line(f"\n[bold green]done[/] in {trio.current_time() - started:.1f} s")

    async def _start(self, cluster: DemoCluster, started: float) -> tuple[DemoPeer, int]:
        import trio

        self._step(1, "One peer, one process: a cluster of one")
        first = cluster.peers[0]
        await first.start()
        self._introduce(first)
        with self.console.status("   waiting for it to lead"):
            leader, term = await cluster.leader(within_s=_START_S)
        waited = trio.current_time() - started
        self._line(f"   [cyan]{leader.name}[/] leads term {term}, {waited:.1f} s after the start")
        return leader, term

    async def _grow(self, cluster: DemoCluster, leader: DemoPeer) -> None:
        import trio

        self._step(2, "Two more processes are added to it by their multiaddrs")
        newcomers = cluster.peers[1:]
        for peer in newcomers:
            await peer.start()
            self._introduce(peer)
        for peer in newcomers:
            with self.console.status(f"   waiting for {peer.name}"):
                await cluster.wait_status(peer, "started", lambda _: True, within_s=_START_S)
                asked = trio.current_time()
                await leader.add(peer)
                took = trio.current_time() - asked
            self._line(
                f"   added {peer.multiaddr.rpartition('/p2p/')[0]}/p2p/...{peer.peer_id[-6:]}"
                f"  [cyan]{peer.name}[/] votes after [bold]{took:.1f} s[/]"
            )

    def _introduce(self, peer: DemoPeer) -> None:
        pid = peer.process.pid if peer.process else "-"
        self._line(f"   [cyan]{peer.name}[/]  {peer.peer_id}  {peer.url}  pid {pid}")

    async def _pin_and_kill(
        self, cluster: DemoCluster, leader: DemoPeer, term: int
    ) -> tuple[PinLoad, DemoPeer, int]:
        """Pin everything, kill the leader meanwhile; return its applied index before that too."""
        import trio

        from node.cli.demo_files import library_files, library_root
        from node.cli.demo_load import PinLoad

        root = library_root()
        paths = library_files(root, self.files)
        self._step(
            3,
            f"Every file of {root} ({len(paths)}) is pinned under its own CID,\n"
            f"   through all three peers, {_CONNECTIONS} connections each",
        )
        with _bar(self.console, len(paths)) as advance:
            load = PinLoad(cluster, _CONNECTIONS, advance)
            begun = trio.current_time()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(load.run, root, paths)
                await load.wait_acknowledged(int(len(paths) * _KILL_AFTER))
                before = await leader.status()
                killed_at = trio.current_time()
                pid = await leader.kill()
                self._line(
                    f"   [red]killed[/] {leader.name}, the leader, with SIGKILL (pid {pid}), "
                    f"after {len(load.acknowledged)} pins"
                )
                successor, new_term = await cluster.leader(within_s=_ELECTION_S, after_term=term)
                self._line(f"   [cyan]{successor.name}[/] leads term {new_term}")
            took = trio.current_time() - begun
        self._line(
            f"   nothing could be written for [bold]{load.longest_gap_s(killed_at):.1f} s[/]"
        )
        self._line(
            f"   {len(load.acknowledged)} pins acknowledged in {took:.1f} s, "
            f"{len(load.acknowledged) / took:.0f} a second; {load.duplicates} of the files "
            "have the content of another"
        )
        self._line(
            f"   repeated on another peer: {load.repeated_not_done} requests that were not done, "
            f"{load.repeated_unknown} whose outcome was unknown"
        )
        return load, leader, before["applied_index"] if before else 0

    async def _restart(self, cluster: DemoCluster, dead: DemoPeer, index_then: int) -> None:
        import trio

        self._step(4, f"{dead.name} is started again and catches up")
        leader, _ = await cluster.leader(within_s=_ELECTION_S)
        status = await leader.status()
        target = status["commit_index"] if status else 0
        started = trio.current_time()
        with self.console.status(f"   waiting for {dead.name}"):
            await dead.start()
            await cluster.wait_applied(dead, 0, within_s=_START_S)
            answered = trio.current_time()
            await cluster.wait_applied(dead, target, within_s=_CATCH_UP_S)
            caught_up = trio.current_time()
        self._line(
            f"   it missed about {max(target - index_then, 0)} entries; it was back after "
            f"{answered - started:.1f} s and had them all {caught_up - answered:.1f} s later"
        )

    async def _remove_and_add_back(self, cluster: DemoCluster) -> None:
        import trio

        leader, _ = await cluster.leader(within_s=_ELECTION_S)
        gone = next(peer for peer in reversed(cluster.peers) if peer is not leader)
        self._step(5, f"{gone.name} is removed, and comes back with an empty folder")
        with self.console.status(f"   waiting for {gone.name} to hear of it"):
            await leader.remove(gone)
            removed = trio.current_time()
            await cluster.wait_status(
                gone,
                "heard of its removal",
                lambda status: status["standing"] == "removed",
                within_s=_ELECTION_S,
            )
            took = trio.current_time() - removed
        self._line(f"   removed; {took:.1f} s later it says so itself, and campaigns no more")
        with self.console.status(f"   waiting for {gone.name}"):
            await gone.stop()
            gone.wipe()
            await gone.start()
            await cluster.wait_status(gone, "started", lambda _: True, within_s=_START_S)
            before = await cluster.wait_status(
                leader,
                "compacted its log",
                lambda status: status["first_index"] > 1,
                within_s=_SNAPSHOT_S,
            )
            asked = trio.current_time()
            await leader.add(gone)
            took = trio.current_time() - asked
        self._introduce(gone)
        self._line(
            f"   the leader's log begins at entry {before['first_index']} of "
            f"{before['last_index']}: what was before is in its snapshot"
        )
        await self._show_snapshot(cluster, gone, took)

    async def _show_snapshot(self, cluster: DemoCluster, gone: DemoPeer, took: float) -> None:
        from node.cli.demo_cluster import DemoFailed

        status = await cluster.wait_status(gone, "answered", lambda _: True, within_s=_START_S)
        index = status["snapshot_index"]
        if index == 0:
            raise DemoFailed(f"{gone.name} caught up without a snapshot")
        self._line(
            f"   it was sent a snapshot of [bold]{gone.snapshot_bytes()} bytes[/] in place of "
            f"entries 1 to {index}, then {status['applied_index'] - index} entries; it votes "
            f"after [bold]{took:.1f} s[/]"
        )

    async def _compare(self, cluster: DemoCluster, load: PinLoad) -> None:
        from node.cli.console import table
        from node.cli.demo_cluster import DemoFailed

        self._step(6, "What each peer holds")
        statuses = await self._settled(cluster)
        table(
            ("peer", "role", "pins", "applied", "digest of the pinset"),
            [
                (
                    peer.name,
                    status["role"],
                    str(status["pins"]),
                    str(status["applied_index"]),
                    status["digest"] or status["state_error"],
                )
                for peer, status in zip(cluster.peers, statuses, strict=True)
            ],
            right=("pins", "applied"),
            indent="   ",
            styles={"Leader": "green"},
        )
        if len({status["digest"] for status in statuses}) != 1 or statuses[0]["digest"] is None:
            raise DemoFailed("the digests differ: the peers do not agree")
        for peer in cluster.peers:
            missing = load.acknowledged - await peer.pinned_cids()
            if missing:
                raise DemoFailed(
                    f"{peer.name} lacks {len(missing)} acknowledged pins, e.g. {min(missing)}"
                )
        self._line(
            f"   [green]equal digests; all {len(load.acknowledged)} acknowledged pins are on every peer[/]"
        )

    async def _settled(self, cluster: DemoCluster) -> list[StatusBody]:
        """Return the status of every peer once all have applied what the leader committed."""
        from node.cli.demo_cluster import DemoFailed

        leader, _ = await cluster.leader(within_s=_ELECTION_S)
        status = await leader.status()
        target = status["commit_index"] if status else 0
        statuses = []
        for peer in cluster.peers:
            await cluster.wait_applied(peer, target, within_s=_CATCH_UP_S)
            status = await peer.status(digest=True)
            if status is None:
                raise DemoFailed(f"{peer.name} does not answer")
            statuses.append(status)
        return statuses

    def _say_how_to_use(self, cluster: DemoCluster) -> None:
        first = cluster.peers[0]
        pids = " ".join(str(peer.process.pid) for peer in cluster.peers if peer.process)
        self._step(7, "The three peers go on running")
        self._line(f"   raft-node -c {first.folder} status")
        self._line(f"   raft-node -c {first.folder} pin ls")
        self._line(f"   curl {first.url}/id")
        self._line(f"   stop them:  kill {pids}")
        self._line(f"   then:       rm -r {self.folder}")

    def _step(self, number: int, text: str) -> None:
        self._line(f"\n[bold]{number}  {text}[/]")

    def _line(self, text: str) -> None:
        self.console.print(text)


@contextmanager
def _bar(console: Console, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar where there is a terminal; yields what moves it on by one."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    columns = ("   files", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("", total=total)
        yield partial(progress.advance, task)
