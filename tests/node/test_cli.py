"""The commands against a fake peer behind a real HTTP server, as a person types them."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from raft_over_libp2p.core.ready import Role
from tests.node.cli_runner import Ran, Run, serving
from tests.node.fakes import (
    CID_V0,
    A,
    B,
    C,
    FakeConsensus,
)

# -- what is imported, and how fast


def test_help_imports_neither_libp2p_nor_trio_and_is_fast() -> None:
    code = (
        "import sys; sys.argv = ['raft-node', '--help']\n"
        "from node.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('libp2p', 'trio', 'httpx', 'rich') if m in sys.modules])\n"
    )
    # Processor time, so that a busy machine does not count against it.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    assert ran.stdout.splitlines()[-1] == "[]"
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) <= 0.3


@pytest.mark.parametrize(
    "command", ["id", "status", "pin ls", "peers ls", "leader transfer", "version", "init"]
)
def test_no_client_command_imports_libp2p(command: str, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.argv = ['raft-node', '-c', {str(tmp_path / 'p')!r}, *{command.split()!r}]\n"
        "from node.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('libp2p' in sys.modules)\n"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    "command",
    [
        "init",
        "daemon",
        "demo",
        "id",
        "status",
        "pin add",
        "pin ls",
        "peers ls",
        "peers add",
        "peers rm",
        "leader transfer",
    ],
)
def test_every_command_explains_itself(run: Run, command: str) -> None:
    ran = run(*command.split(), "--help")

    assert ran.code == 0
    assert f"raft-node {command}" in ran.out
    assert "--help" in ran.out


# -- init


def test_init_makes_a_cluster_of_one(run: Run, tmp_path: Path) -> None:
    ran = run("init", "--json")

    made = json.loads(ran.out)
    files = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "peer").iterdir()}
    service = json.loads((tmp_path / "peer/service.json").read_text())
    assert ran.code == 0
    assert [made["id"]] == made["cluster_peers"]
    assert files == {"identity.json": 0o600, "service.json": 0o600, "peerstore": 0o600}
    assert (tmp_path / "peer").stat().st_mode & 0o777 == 0o700
    assert service["consensus"]["raft"]["init_peerset"] == []
    assert len(service["cluster"]["secret"]) == 64


def test_first_members_write_down_one_and_the_same_set(run: Run, tmp_path: Path) -> None:
    addresses = f"/ip4/10.0.0.1/tcp/9096/p2p/{A},/ip4/10.0.0.2/tcp/9096/p2p/{B}"

    ran = run("init", "--peers", addresses, "--json")

    own = json.loads(ran.out)["id"]
    service = json.loads((tmp_path / "peer/service.json").read_text())
    assert sorted([A, B, own]) == service["consensus"]["raft"]["init_peerset"]
    assert addresses.split(",") == (tmp_path / "peer/peerstore").read_text().split()


def test_init_tells_a_person_what_was_made_and_what_is_next(run: Run, tmp_path: Path) -> None:
    lines = run("init").out.splitlines()

    assert [line.split("  ")[0] for line in lines] == [
        "peer ID", "folder", "cluster", "secret", "next",
    ]  # fmt: skip
    assert lines[2].endswith("of one: this peer")
    assert lines[4].endswith("raft-node daemon")


def test_init_never_touches_a_folder_with_a_peer_in_it(run: Run, tmp_path: Path) -> None:
    run("init")
    before = {file.name: file.read_bytes() for file in (tmp_path / "peer").iterdir()}

    ran = run("init")

    assert ran.code == 2
    assert "exists already" in ran.err
    assert before == {file.name: file.read_bytes() for file in (tmp_path / "peer").iterdir()}


def test_force_writes_the_configuration_anew_and_keeps_identity_and_secret(
    run: Run, tmp_path: Path
) -> None:
    run("init")
    identity = (tmp_path / "peer/identity.json").read_bytes()
    before = json.loads((tmp_path / "peer/service.json").read_text())

    ran = run("init", "--force", "--peers", f"/ip4/10.0.0.1/tcp/9096/p2p/{A}")

    after = json.loads((tmp_path / "peer/service.json").read_text())
    assert ran.code == 0
    assert identity == (tmp_path / "peer/identity.json").read_bytes()
    assert before["cluster"]["secret"] == after["cluster"]["secret"]
    assert A in after["consensus"]["raft"]["init_peerset"]


def test_a_peer_that_was_part_of_a_cluster_is_not_made_anew_even_by_force(
    run: Run, tmp_path: Path
) -> None:
    run("init")
    (tmp_path / "peer/raft").mkdir()

    ran = run("init", "--force")

    assert ran.code == 2
    assert "has been part of a cluster" in ran.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--peers", "10.0.0.1:9096"], "--peers: address 1: '10.0.0.1:9096' is not a multiaddr"),
        (["--listen", "everywhere"], "cluster.listen_multiaddress: 'everywhere'"),
        (["--api-listen", "9094"], "api.restapi.http_listen_multiaddress: '9094'"),
        (["--nonsense"], "No such option '--nonsense'"),
        (["extra"], "unexpected extra argument"),
    ],
)
def test_init_refuses_bad_input_and_makes_nothing(
    run: Run, tmp_path: Path, arguments: list[str], named: str
) -> None:
    ran = run("init", *arguments)

    assert ran.code == 2
    assert named in ran.err
    assert not (tmp_path / "peer/identity.json").exists()
    assert not (tmp_path / "peer/service.json").exists()


def test_a_given_secret_is_used_and_a_bad_one_is_not_shown(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTER_SECRET", "zz" * 32)
    refused = run("init", "--custom-secret")
    monkeypatch.setenv("CLUSTER_SECRET", "ab" * 32)
    run("init", "--custom-secret")

    assert refused.code == 2
    assert "zz" not in refused.err
    assert (
        json.loads((tmp_path / "peer/service.json").read_text())["cluster"]["secret"] == "ab" * 32
    )


def _init_with_secret(run: Run, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Ran:
    monkeypatch.setenv("CLUSTER_SECRET", "ab" * 32)
    return run("init", *arguments)


def test_a_peer_that_joins_founds_no_cluster_and_remembers_whom_to_ask(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = f"/ip4/10.0.0.1/tcp/9096/p2p/{A}"

    ran = _init_with_secret(run, monkeypatch, "--join", member, "--json")

    service = json.loads((tmp_path / "peer/service.json").read_text())
    assert json.loads(ran.out)["cluster_peers"] == []
    assert service["consensus"]["raft"]["init_peerset"] == []
    assert service["consensus"]["raft_node"]["bootstrap"] is False
    assert service["consensus"]["raft_node"]["join_multiaddresses"] == [member]
    assert (tmp_path / "peer/peerstore").read_text() == f"{member}\n"


def test_a_peer_that_waits_founds_no_cluster_and_asks_nobody(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = _init_with_secret(run, monkeypatch, "--wait")

    service = json.loads((tmp_path / "peer/service.json").read_text())
    assert "none yet: waits for `raft-node peers add` on a member" in ran.out
    assert service["consensus"]["raft_node"]["bootstrap"] is False
    assert service["consensus"]["raft_node"]["join_multiaddresses"] == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--join", "/ip4/10.0.0.1/tcp/9096"], "does not end in a peer's ID"),
        (["--join", "10.0.0.1"], "--join: address 1: '10.0.0.1' is not a multiaddr"),
        (["--wait", "--peers", f"/ip4/10.0.0.1/tcp/9096/p2p/{A}"], "--peers: founds a cluster"),
    ],
)
def test_a_malformed_way_to_join_is_refused_and_makes_nothing(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    named: str,
) -> None:
    ran = _init_with_secret(run, monkeypatch, *arguments)

    assert ran.code == 2
    assert named in ran.err
    assert not (tmp_path / "peer/identity.json").exists()


def test_a_peer_that_joins_needs_the_secret_of_the_cluster(run: Run) -> None:
    ran = run("init", "--wait")

    assert ran.code == 2
    assert "set CLUSTER_SECRET" in ran.err


# -- asking a peer


def test_id_is_shown_as_by_ctl(run: Run, url: str) -> None:
    ran = run("--host", url, "id")

    assert f"{A} | node-a | Sees 2 other peers\n" in ran.out
    assert f"    - /ip4/127.0.0.1/tcp/9096/p2p/{A}\n" in ran.out


def test_ctls_flags_are_taken_before_and_after_the_command(run: Run, url: str) -> None:
    multiaddr = "/ip4/127.0.0.1/tcp/" + url.rpartition(":")[2]

    before = run("--enc", "json", "--host", multiaddr, "--timeout", "10", "id")
    after = run("id", "--enc", "json", "--host", multiaddr, "--timeout", "10s")

    assert json.loads(before.out)["id"] == A
    assert before == after


def test_the_folders_own_address_and_password_are_used(
    run: Run, tmp_path: Path, consensus: FakeConsensus, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(consensus, tmp_path, basic_auth={"ann": "hunter2"}) as url:
        port = url.rpartition(":")[2]
        run("init", "--api-listen", f"/ip4/0.0.0.0/tcp/{port}")
        without = run("version")
        monkeypatch.setenv("CLUSTER_RESTAPI_BASICAUTHCREDENTIALS", "ann:hunter2")
        with_it = run("version")
        elsewhere = run("version", "--host", url)
        by_flag = run("version", "--host", url, "--basic-auth", "ann:hunter2")

    assert (2, 0, 2, 0) == (without.code, with_it.code, elsewhere.code, by_flag.code)
    assert "unauthorized" in without.err
    assert with_it.out == "1.2.3\n"


def test_status_is_one_screen(run: Run, url: str) -> None:
    ran = run("--host", url, "status")

    assert ran.code == 0
    assert ran.out == (
        f"peer    {A}  node-a\n"
        "role    Leader, term 3\n"
        "leader  this peer\n"
        "quorum  2 of 3 voters needed, 2 reached from here\n"
        "log     committed 7, applied 7, on disk 7, snapshot at 0\n"
        "pins    0\n"
        "\n"
        "MEMBER                                                ROLE    REACHED   HEARD  MATCH  LAG"
        "  NOTE\n"
        f"{A}  leader  yes           -      7    -  this peer\n"
        f"{B}  voter   yes       0.0 s      7    0\n"
        f"{C}  voter   no       12.3 s      2    5  connection refused\n"
    )


def test_status_without_a_leader_is_shown_with_its_exit_code(
    run: Run, url: str, consensus: FakeConsensus
) -> None:
    consensus.role, consensus.leader = Role.FOLLOWER, None

    ran = run("--host", url, "status")

    assert ran.code == 4
    assert "leader  none known; one was heard 0.0 s ago" in ran.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("id",),
        ("status",),
        ("pin", "ls"),
        ("pin", "add", CID_V0),
        ("peers", "ls"),
        ("peers", "add", A),
        ("peers", "rm", A),
        ("leader", "transfer"),
    ],
)
def test_a_daemon_that_does_not_answer_is_named(run: Run, arguments: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    ran = run("--host", f"127.0.0.1:{port}", *arguments)

    assert ran.code == 5
    assert f"no daemon answers at http://127.0.0.1:{port}" in ran.err
    assert "raft-node daemon" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    "flags", [("--host", "/ip4/nowhere"), ("--host", "ftp://x"), ("--timeout", "soon"),
              ("--basic-auth", "ann")]
)  # fmt: skip
def test_a_malformed_flag_is_refused_by_its_name(run: Run, flags: tuple[str, str]) -> None:
    ran = run("id", *flags)

    assert ran.code == 2
    assert flags[0] in ran.err
