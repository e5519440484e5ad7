"""The daemon as a process: what it refuses and how it says so, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from node.config import Folder
from node.folder_setup import NewPeer, create_folder
from tests.node.fakes import CID_V0, CID_V1
from tests.system.daemons import Daemon, made_peers

pytestmark = pytest.mark.slow


def _refusal(daemon: Daemon) -> tuple[int, str]:
    """Run a daemon that ends by itself; return its exit code and the one line it said."""
    before = daemon.said() if daemon.log.exists() else ""
    daemon.start()
    code = daemon.wait()
    said = daemon.said()[len(before) :]
    assert "Traceback" not in said
    assert len(said.splitlines()) == 1, said
    return code, said


def _snapshot(folder: Path) -> dict[str, bytes]:
    """Return every file's content, but lock files."""
    files = (
        path for path in folder.rglob("*") if path.is_file() and "lock" not in path.name.lower()
    )
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_cluster_of_one_keeps_its_pins_across_an_orderly_restart(tmp_path: Path) -> None:
    with made_peers(tmp_path) as [daemon]:
        daemon.start()
        daemon.wait_for("leader")
        with daemon.http() as http:
            pinned = http.post(f"/pins/{CID_V0}?name=hello")
        first = daemon.stop()
        daemon.log.unlink()
        daemon.start()
        daemon.wait_for("leader")
        with daemon.http() as http:
            found = http.get(f"/allocations/{CID_V0}?consistency=linearizable")
        second = daemon.stop(signal.SIGINT)

    assert pinned.status_code == 200
    assert found.json()["name"] == "hello"
    assert (0, 0) == (first, second)


def test_a_daemon_says_who_and_where_it_is(tmp_path: Path) -> None:
    with made_peers(tmp_path) as [daemon]:
        daemon.start()
        daemon.wait_for("leader")
        daemon.stop()
        lines = [line.split(None, 1) for line in daemon.said().splitlines()]

    said = dict(lines)
    assert said["peer"].startswith(f"ID    {daemon.peer_id}")
    assert said["listening"].endswith(f"/p2p/{daemon.peer_id}")
    assert said["API"] == daemon.url
    assert said["member"] == f"{daemon.peer_id}  this peer"
    assert said["leader"].startswith("this peer, term ")
    assert said["stopping"] == "finishing what is under way"


def test_a_daemon_tells_how_long_its_disk_took(tmp_path: Path) -> None:
    with made_peers(tmp_path) as [daemon]:
        daemon.start()
        daemon.wait_for("leader")
        with daemon.http() as http:
            http.post(f"/pins/{CID_V0}")
            text = http.get("/raft/metrics").text
        daemon.stop()

    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    assert "1" == values["raft_reigns_total"]
    assert 2 <= int(values["raft_entries_applied_total"])  # its own address, and the pin
    for name in ("raft_writes", "raft_commits", "raft_turns"):
        assert 0 < float(values[f"{name}_seconds_sum"]) < 60


def test_a_busy_api_port_is_refused(tmp_path: Path) -> None:
    with made_peers(tmp_path) as [daemon]:
        port = int(daemon.url.rpartition(":")[2])
        with socket.create_server(("127.0.0.1", port)):
            code, said = _refusal(daemon)

    assert code == 2
    assert f"/ip4/127.0.0.1/tcp/{port}: Address already in use" in said
    assert "--api-listen" in said


def test_a_busy_swarm_port_is_refused_which_py_libp2p_does_not_report(tmp_path: Path) -> None:
    """Trap 14 of py-libp2p: host.run() goes on without the address."""
    with made_peers(tmp_path) as [daemon]:
        service = json.loads((daemon.folder / "service.json").read_text())
        address = service["cluster"]["listen_multiaddress"][0]
        with socket.create_server(("127.0.0.1", int(address.rpartition("/")[2]))):
            code, said = _refusal(daemon)

    assert code == 2
    assert f"cannot listen on {address}" in said
    assert "--listen" in said


def test_a_folder_in_use_is_refused_also_on_other_ports(tmp_path: Path) -> None:
    with made_peers(tmp_path) as [daemon]:
        daemon.start()
        daemon.wait_for("leader")
        second = Daemon(
            daemon.folder,
            "",
            daemon.peer_id,
            "",
            ("--listen", "/ip4/127.0.0.1/tcp/0", "--api-listen", "/ip4/127.0.0.1/tcp/0"),
        )
        code, said = _refusal(second)
        with daemon.http() as http:
            goes_on = http.post(f"/pins/{CID_V0}")

    assert code == 2
    assert "another peer, Python or Go, is running on this folder" in said
    assert goes_on.status_code == 200


def test_the_raft_data_of_another_peer_is_refused_unchanged(tmp_path: Path) -> None:
    with made_peers(tmp_path) as [daemon]:
        daemon.start()
        daemon.wait_for("leader")
        daemon.stop()
        (daemon.folder / "identity.json").unlink()
        create_folder(Folder(tmp_path / "other"), NewPeer())
        (tmp_path / "other/identity.json").rename(daemon.folder / "identity.json")
        before = _snapshot(daemon.folder)
        code, said = _refusal(daemon)

    assert code == 2
    assert daemon.peer_id in said
    assert before == _snapshot(daemon.folder)


def test_a_damaged_log_is_refused_naming_the_file_and_changing_nothing(tmp_path: Path) -> None:
    with made_peers(tmp_path) as [daemon]:
        daemon.start()
        daemon.wait_for("leader")
        with daemon.http() as http:
            for number in range(50):
                http.post(f"/pins/{CID_V0}?name={number}")
        daemon.stop(signal.SIGKILL)
        segment = min((daemon.folder / "raft/log").iterdir())
        content = bytearray(segment.read_bytes())
        place = content.index(b"\xa1n\xa13") if b"\xa1n\xa13" in content else 400
        content[place] ^= 0xFF
        segment.write_bytes(content)
        before = _snapshot(daemon.folder)
        code, said = _refusal(daemon)

    assert code == 1
    assert str(segment) in said
    assert "is damaged at byte" in said
    assert before == _snapshot(daemon.folder)


def test_peers_with_different_secrets_do_not_meet_and_writes_end_in_time(tmp_path: Path) -> None:
    """A wrong secret, and a write without a quorum, which names who is missing and why."""
    with made_peers(tmp_path, 2, secrets=("11" * 32, "22" * 32)) as [one, two]:
        one.start()
        two.start()
        one.wait_for("waiting")
        with one.http() as http:
            answer = http.post(f"/pins/{CID_V0}?timeout=2s")
            local = http.get("/allocations")
            status = http.get("/raft/status").json()
        shown = subprocess.run(
            [sys.executable, "-m", "node.cli.main", "-c", str(one.folder), "status"],
            capture_output=True,
            text=True,
        )

    assert (503, "no-leader") == (answer.status_code, answer.json()["outcome"])
    assert two.peer_id in answer.json()["message"]
    assert answer.elapsed.total_seconds() < 10
    assert local.status_code == 204
    assert status["leader"] is None
    assert shown.returncode == 4


def test_two_peers_of_three_go_on_when_the_leader_is_killed(tmp_path: Path) -> None:
    with made_peers(tmp_path, 3) as daemons:
        for daemon in daemons:
            daemon.start()
        for daemon in daemons:
            daemon.wait_for("leader")
        with daemons[0].http() as http:
            leader_id = http.get("/raft/status").json()["leader"]
            described = [json.loads(line) for line in http.get("/peers").text.splitlines()]
        [leader] = [daemon for daemon in daemons if daemon.peer_id == leader_id]
        others = [daemon for daemon in daemons if daemon is not leader]
        with others[0].http() as http:
            before = http.post(f"/pins/{CID_V0}")
        leader.stop(signal.SIGKILL)
        with others[0].http() as http, others[1].http() as other:
            after = http.post(f"/pins/{CID_V1}")
            repeated = other.post(f"/pins/{CID_V1}")

    assert {"node-1", "node-2", "node-3"} == {peer["peername"] for peer in described}
    assert before.status_code == 200
    assert after.status_code in {200, 504}
    assert repeated.status_code == 200
