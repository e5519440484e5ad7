"""Mixed-cluster rules 2 and 3 against real Go peers: a folder changes hands, and the cluster
does not notice but for the peer's absence.

A peer's folder is laid out as IPFS Cluster's: ``identity.json``, ``service.json``, ``peerstore``
and ``raft``; the Go peer is given ``raft`` itself, the Python peer the folder around it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from keys.identity import Identity
from node.config import Folder
from node.folder_setup import NewPeer, create_folder
from raft_over_libp2p.storage.bolt_reader import BoltFile
from raft_over_libp2p.storage.bolt_writer import write_bolt_file
from raft_over_libp2p.storage.filesystem import RealFileSystem
from raft_over_libp2p.storage.go_store import uint64_key
from raft_over_libp2p.types import LogEntry, ServerID
from tests.interop.bolt_program import Generation, build_bolt, check_file, run_bolt
from tests.interop.cluster import Language, agree, await_applied
from tests.interop.peer_process import (
    PeerError,
    PeerOptions,
    PeerProcess,
    id_of,
    introduce,
    seed_of,
)

pytestmark = [pytest.mark.go, pytest.mark.slow]

_NAMES: Final = ("go1", "go2", "go3")
_OPTIONS: Final = PeerOptions(
    mode="cluster", secret="5a" * 32, voters=[id_of(name) for name in _NAMES]
)
_CIDS: Final = (
    "bafkreidgvpkjawlxz6sffxzwgooowe5yt7i6wsyg236mfoks77nywkptdq",
    "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",
    "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG",
    "QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR",
)


class Peers:
    """Starts peers in folders of their own, in either language, under one identity each."""

    def __init__(self, root: Path, nursery: trio.Nursery, go_binary: Path) -> None:
        self._root = root
        self._nursery = nursery
        self._commands = {
            "go": [str(go_binary)],
            "python": [sys.executable, "-m", "tests.interop.python_peer"],
        }
        self.started: list[PeerProcess] = []

    def base(self, name: str) -> Path:
        return self._root / name

    async def first(self, name: str) -> PeerProcess:
        """Make the folder of a Go peer and start it."""
        create_folder(Folder(self.base(name)), NewPeer(identity=Identity.from_seed(seed_of(name))))
        return await self.start(name, "go")

    async def start(
        self, name: str, language: Language, before: PeerProcess | None = None
    ) -> PeerProcess:
        """Start a peer on its folder, at the address and with the acquaintances of ``before``."""
        base = self.base(name)
        folder = base / "raft" if language == "go" else base
        peer = PeerProcess(name, self._commands[language], folder, self._nursery, _OPTIONS)
        if before is not None:
            peer.addresses = list(before.addresses)
            peer._known = dict(before._known)
        self.started.append(peer)
        await peer.start()
        return peer


@pytest.fixture
async def peers(go_binary: Path, tmp_path: Path) -> AsyncIterator[Peers]:
    async with trio.open_nursery() as nursery:
        made = Peers(tmp_path, nursery, go_binary)
        try:
            yield made
        finally:
            for peer in made.started:
                await peer.kill()
            nursery.cancel_scope.cancel()


@pytest.fixture(scope="session")
def bolt(go_binaries: Callable[[str], Path]) -> Path:
    """Build the program; without Go ``go_binaries`` skips."""
    return build_bolt()


async def _start_cluster(peers: Peers) -> list[PeerProcess]:
    started = [await peers.first(name) for name in _NAMES]
    await introduce(*started)
    return started


async def _migrate(*arguments: str | Path) -> dict[str, Any]:
    """Run ``raft-node migrate`` as an operator does, and return what it tells programs."""
    command = [sys.executable, "-m", "node.cli.main", "migrate", *map(str, arguments), "--json"]
    ran = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


async def _pin(asked: PeerProcess, cid: str, name: str) -> None:
    pin = {
        "cid": cid,
        "name": name,
        "replication_factor_min": -1,
        "replication_factor_max": -1,
        "timestamp": "2026-01-02T03:04:05Z",
    }
    await asked.ask("log_pin", pin=pin)


async def _same_pinset(everyone: Sequence[PeerProcess]) -> dict[str, str]:
    """Wait until all have applied what their leader has; they must hold the same pins."""
    leader, *followers = await agree(everyone)
    await await_applied(followers, (await leader.status()).last_index)
    pinsets = {}
    for peer in everyone:
        result: dict[str, Any] = await peer.ask("pinset")
        pinsets[peer.name] = {pin["cid"]: pin["stored"] for pin in result["pins"]}
    assert dict.fromkeys(pinsets, pinsets[leader.name]) == pinsets
    return pinsets[leader.name]


async def _entries(peer: PeerProcess) -> dict[int, LogEntry]:
    return {entry.index: entry for entry in await peer.dump()}


@pytest.mark.timeout(120, func_only=True)
@pytest.mark.parametrize("held_as", ["entries", "snapshot and entries", "snapshot"])
async def test_a_peer_of_a_go_cluster_is_taken_over_and_given_back(
    peers: Peers, held_as: str
) -> None:
    """IPFS Cluster's component takes a snapshot when it is stopped, not when it is killed."""
    go1, go2, go3 = everyone = await _start_cluster(peers)
    await agree(everyone)
    await _pin(go1, _CIDS[0], "by Go")
    await _same_pinset(everyone)
    if held_as == "snapshot and entries":
        await go2.ask("snapshot")
    await _pin(go3, _CIDS[1], "by Go again")
    held = await _same_pinset(everyone)
    log = await _entries(go2)
    status = await go2.status()
    await (go2.quit() if held_as == "snapshot" else go2.kill())

    told = await _migrate("from-go", peers.base("go2"))
    assert (go2.id, len(held)) == (ServerID(told["id"]), told["pins"])
    assert told["last_index"] >= status.last_index
    assert told["term"] >= status.term
    assert ("snapshot" in held_as) == (told["snapshot"] is not None)
    assert ("entries" in held_as) == (told["entries"] > 0)
    with pytest.raises(PeerError, match="is a directory"):
        await peers.start("go2", "go")

    ours = await peers.start("go2", "python", go2)
    everyone = [go1, ours, go3]
    assert held == await _same_pinset(everyone)
    kept = await _entries(ours)
    assert {index: entry for index, entry in log.items() if index in kept} == {
        index: entry for index, entry in kept.items() if index in log
    }

    # Without the third peer nothing is elected or committed but with this one's vote.
    await go3.kill()
    await agree([go1, ours])
    await _pin(ours, _CIDS[2], "with Python's vote")
    await go3.start()
    held = await _same_pinset(everyone)
    assert {_CIDS[0], _CIDS[1], _CIDS[2]} == set(held)
    status = await ours.status()
    log = await _entries(ours)
    await ours.quit()

    told = await _migrate("to-go", "-c", peers.base("go2"))
    assert (status.last_index, len(held)) == (told["last_index"], told["pins"])
    assert told["term"] >= status.term
    with pytest.raises(PeerError, match="migrate from-go"):
        await peers.start("go2", "python")

    go2 = await peers.start("go2", "go", go2)
    everyone = [go1, go2, go3]
    assert held == await _same_pinset(everyone)
    kept = await _entries(go2)
    assert log == {index: entry for index, entry in kept.items() if index in log}
    await go1.kill()
    await agree([go2, go3])
    await _pin(go2, _CIDS[3], "with Go's vote")
    await go1.start()
    assert set(_CIDS) == set(await _same_pinset(everyone))


async def test_go_does_not_start_on_a_folder_that_was_taken_elsewhere(peers: Peers) -> None:
    """Rule 3 [M]: 1.1.6 would bootstrap afresh where it finds no state; it must not come so far."""
    go1, *others = await _start_cluster(peers)
    await agree([go1, *others])
    await go1.quit()
    target = peers.base("moved")
    await _migrate("from-go", peers.base("go1"), "-c", target)

    with pytest.raises(PeerError, match="not a directory"):
        await peers.start("go1", "go")
    assert (target / "raft/FORMAT").is_file()


async def test_a_running_go_peer_is_not_taken_over(peers: Peers) -> None:
    """Rule 3 [M]: our lock on raft.db and a running Go peer's exclude each other."""
    go1, *_ = await _start_cluster(peers)
    command = [sys.executable, "-m", "node.cli.main", "migrate", "from-go", str(peers.base("go1"))]
    ran = await trio.run_process(command, capture_stderr=True, check=False)
    assert ran.returncode == 2
    assert b"raft.db is locked: another peer" in ran.stderr
    assert (await go1.status()).state


async def test_go_starts_in_our_term_and_knows_our_vote(peers: Peers, bolt: Path) -> None:
    """Rule 2 [M]: from a snapshot alone it would start at term 0, and vote again."""
    go1, go2, go3 = everyone = await _start_cluster(peers)
    await agree(everyone)
    await _pin(go1, _CIDS[0], "by Go")
    await go1.quit()
    await _migrate("from-go", peers.base("go1"))
    ours = await peers.start("go1", "python", go1)
    await _same_pinset([ours, go2, go3])
    await go2.kill()
    await agree([ours, go3])
    await go3.kill()
    await ours.quit()
    told = await _migrate("to-go", "-c", peers.base("go1"))

    conf = check_file(bolt, "bolt", peers.base("go1") / "raft/raft.db")["conf"]
    assert uint64_key(told["term"]) == conf[b"CurrentTerm"]
    if told["vote"] is not None:
        assert told["vote"].encode() == conf[b"LastVoteCand"]
        assert uint64_key(told["term"]) == conf[b"LastVoteTerm"]
    alone = await peers.start("go1", "go", go1)
    status = await alone.status()
    assert told["term"] <= status.term
    assert told["last_index"] == status.last_index


class TestBothGenerationsOfBoltDB:
    @pytest.mark.parametrize("generation", ["bolt", "bbolt"])
    @pytest.mark.parametrize("count", [0, 1, 50, 5000])
    def test_a_file_of_ours_is_one_of_theirs(
        self, bolt: Path, tmp_path: Path, generation: Generation, count: int
    ) -> None:
        path = tmp_path / "raft.db"
        logs = {uint64_key(n): bytes([n % 256]) * (n * 37 % 9000) for n in range(1, count + 1)}
        conf = {b"CurrentTerm": uint64_key(7)}
        write_bolt_file(RealFileSystem(), str(path), {b"logs": logs.items(), b"conf": conf.items()})
        assert {"logs": logs, "conf": conf} == check_file(bolt, generation, path)

    @pytest.mark.parametrize("generation", ["bolt", "bbolt"])
    def test_they_append_and_delete_in_it_and_it_is_read_again(
        self, bolt: Path, tmp_path: Path, generation: Generation
    ) -> None:
        path = tmp_path / "raft.db"
        logs = {uint64_key(n): bytes(300) for n in range(1, 2001)}
        fs = RealFileSystem()
        write_bolt_file(fs, str(path), {b"logs": logs.items(), b"conf": ()})
        run_bolt(bolt, "append", generation, path, 2001, 2100)
        run_bolt(bolt, "delete", generation, path, 1, 1500)
        run_bolt(bolt, "append", generation, path, 2101, 2110)
        there = check_file(bolt, generation, path)["logs"]
        assert [uint64_key(n) for n in range(1501, 2111)] == list(there)
        with BoltFile.open(fs, str(path)) as file:
            bucket = file.bucket(b"logs")
            assert bucket is not None
            assert there == dict(bucket.items())
