"""Daemons that come and go, as their operators see it: add, join, remove, come back, hand over."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import pytest

from node.config import Folder
from node.folder_setup import NewPeer, create_folder
from tests.node.fakes import CID_V0, CID_V1
from tests.system.daemons import Daemon, free_ports, made_peers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def _pin(daemon: Daemon, cid: str) -> int:
    with daemon.http() as http:
        return http.post(f"/pins/{cid}").status_code


def _start_cluster(daemons: list[Daemon]) -> None:
    """Start a cluster of one and add the others to it."""
    first, *others = daemons
    for daemon in daemons:
        daemon.start()
    first.wait_for("leader")
    for other in others:
        other.wait_for("API")
        added = first.command("peers", "add", other.multiaddr)
        assert (0, f"{other.peer_id} {other.folder.name} votes\n") == (
            added.returncode,
            added.stdout,
        ), added.stderr


def _suffrages(daemon: Daemon) -> dict[str, str]:
    return {member["id"]: member["suffrage"] for member in daemon.status()["members"]}


def _snapshots_at_once(daemon: Daemon) -> None:
    path = daemon.folder / "service.json"
    service = json.loads(path.read_text())
    service["consensus"]["raft"] |= {
        "snapshot_threshold": 2, "snapshot_interval": "500ms", "trailing_logs": 1,
    }  # fmt: skip
    path.write_text(json.dumps(service))
    path.chmod(0o600)


def test_a_removed_peer_says_so_and_comes_back_with_an_empty_folder(tmp_path: Path) -> None:
    with made_peers(tmp_path, 3, founders=1) as daemons:
        first, second, third = daemons
        for daemon in daemons:
            _snapshots_at_once(daemon)
        _start_cluster(daemons)
        pinned = [_pin(second, CID_V0), _pin(third, CID_V1)]

        removed = second.command("peers", "rm", third.peer_id)
        assert 0 == removed.returncode, removed.stderr
        third.wait_for("this peer was removed from the cluster")
        without = _suffrages(first)
        third.stop()
        third.start()
        third.wait_until(lambda status: status["standing"] in {"removed", "not-a-member"})
        third.stop()
        shutil.rmtree(third.folder / "raft")
        third.start()
        third.wait_until(lambda status: status["standing"] == "waiting")
        first.wait_until(lambda status: status["first_index"] > 1)
        back = second.command("peers", "add", third.multiaddr)
        third.wait_until(lambda _: len((third.folder / "peerstore").read_text().split()) == 3)
        caught_up = third.wait_until(lambda status: status["pins"] == 2)

    assert [200, 200] == pinned
    assert third.peer_id not in without
    assert 0 == back.returncode, back.stderr
    assert caught_up["snapshot_index"] > 0
    assert "voter" == caught_up["standing"]


def test_a_peer_joins_by_itself_and_leadership_is_handed_to_it(tmp_path: Path) -> None:
    """It asks a follower, is given the leader's address, and is known by its own after a move."""
    with made_peers(tmp_path, 2, founders=1) as [first, second]:
        _start_cluster([first, second])
        swarm_port, api_port, moved_port = free_ports(3)
        folder = tmp_path / "node-3"
        secret = json.loads((first.folder / "service.json").read_text())["cluster"]["secret"]
        made = create_folder(
            Folder(folder),
            NewPeer(
                join=(second.multiaddr,),
                secret_hex=secret,
                listen_multiaddrs=(f"/ip4/127.0.0.1/tcp/{swarm_port}",),
                api_listen_multiaddrs=(f"/ip4/127.0.0.1/tcp/{api_port}",),
            ),
        )
        third = Daemon(folder, f"http://127.0.0.1:{api_port}", made.peer_id)
        try:
            third.start()
            third.wait_for("votes after")
            handed = second.command("leader", "transfer", third.peer_id)
            leads = third.wait_until(lambda status: status["role"] == "Leader")
            again = second.command("leader", "transfer", third.peer_id)
            written = _pin(first, CID_V0)
            stopped = third.stop()
            third.arguments = ("--listen", f"/ip4/127.0.0.1/tcp/{moved_port}")
            third.start()
            third.wait_for("the cluster knows this peer at")
            deadline = time.monotonic() + 20
            while str(moved_port) not in (first.folder / "peerstore").read_text():
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            if third.process is not None and third.process.poll() is None:
                third.stop(signal.SIGKILL)

    assert (0, f"{third.peer_id} leads\n") == (handed.returncode, handed.stdout), handed.stderr
    assert third.peer_id == leads["leader"]
    assert 0 == again.returncode
    assert 200 == written
    assert 0 == stopped


def test_what_cannot_be_done_is_refused_and_the_cluster_goes_on(tmp_path: Path) -> None:
    with made_peers(tmp_path, 3, founders=1) as daemons:
        first, second, third = daemons
        _start_cluster([first, second])
        at_another = second.multiaddr.replace(second.peer_id, third.peer_id)

        somebody_else = second.command("peers", "add", at_another)
        not_there = first.command("peers", "add", third.multiaddr)
        stranger = first.command("peers", "rm", third.peer_id)
        members = _suffrages(first)
        goes_on = _pin(first, CID_V0)
        second.stop(signal.SIGKILL)
        down = first.command("leader", "transfer", second.peer_id, "--timeout", "5s")
        without_quorum = first.command("peers", "rm", second.peer_id, "--timeout", "3s")
        second.start()
        first.wait_until(lambda status: status["leader"] and status["voters_connected"] == 2)
        after = _pin(first, CID_V1)

    assert 1 == somebody_else.returncode
    assert f"{second.peer_id} answers there, not {third.peer_id}" in somebody_else.stderr
    assert 1 == not_there.returncode
    assert "Connection refused" in not_there.stderr or third.peer_id in not_there.stderr
    assert 1 == stranger.returncode
    assert "is not a member of this cluster" in stranger.stderr
    assert {first.peer_id: "voter", second.peer_id: "voter"} == members
    assert 200 == goes_on
    assert down.returncode in {1, 4}, down.stderr
    assert without_quorum.returncode in {1, 3, 4}, without_quorum.stderr
    assert 200 == after
