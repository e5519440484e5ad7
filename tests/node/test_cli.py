"""The commands against a fake peer behind a real HTTP server, as a person types them."""

from __future__ import annotations

import io
import json
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from node.cli.main import main
from node.http.app import build_app
from node.http.pin_options import ReplicationFactors
from node.http.server import APIServer
from pinstate.cid import parse_cid
from pinstate.pin import Pin
from pinstate.state import PinState
from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.errors import NoLeader, OutcomeUnknown, ProposalRefused
from raft_over_libp2p.types import ServerID
from tests.node.fakes import (
    CID_ABSENT,
    CID_V0,
    CID_V1,
    A,
    B,
    C,
    FakeConsensus,
    FakeDirectory,
    api_config,
)


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command line in this process, in a folder of its own."""
    monkeypatch.setenv("RAFT_NODE_PATH", str(tmp_path / "peer"))
    monkeypatch.delenv("CLUSTER_SECRET", raising=False)

    def run_it(*arguments: str, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capsys.readouterr()
        return Ran(int(ended.value.code or 0), captured.out, captured.err)

    return run_it


@contextmanager
def _serving(consensus: FakeConsensus, folder: Path, **changes: object) -> Iterator[str]:
    config = api_config(folder, listen_multiaddrs=("/ip4/127.0.0.1/tcp/0",), **changes)
    server = APIServer.bind(config)
    app = build_app(
        consensus,
        FakeDirectory(),
        config=config,
        version="1.2.3",
        replication=ReplicationFactors(),
    )
    started = threading.Event()
    scope = trio.CancelScope()
    tokens: list[trio.lowlevel.TrioToken] = []

    async def serve() -> None:
        tokens.append(trio.lowlevel.current_trio_token())
        with scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(server.run, app)
                started.set()

    url = server.urls[0]
    thread = threading.Thread(target=trio.run, args=(serve,))
    thread.start()
    started.wait(10)
    try:
        yield url
    finally:
        tokens[0].run_sync_soon(scope.cancel)
        thread.join()


@pytest.fixture
def consensus() -> FakeConsensus:
    return FakeConsensus()


@pytest.fixture
def url(consensus: FakeConsensus, tmp_path: Path) -> Iterator[str]:
    with _serving(consensus, tmp_path) as url:
        yield url


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


@pytest.mark.parametrize("command", ["id", "status", "pin ls", "peers ls", "version", "init"])
def test_no_client_command_imports_libp2p(command: str, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.argv = ['raft-node', '-c', {str(tmp_path / 'p')!r}, *{command.split()!r}]\n"
        "from node.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('libp2p' in sys.modules)\n"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("command", ["init", "daemon", "demo", "id", "status", "pin add", "pin ls"])
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
    with _serving(consensus, tmp_path, basic_auth={"ann": "hunter2"}) as url:
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


def test_peers_are_listed_also_one_that_is_not_reached(run: Run, url: str) -> None:
    ran = run("--host", url, "peers", "ls")

    assert f"{B} | node-b | Sees 2 other peers" in ran.out
    assert f"{C} |  | ERROR: connection refused" in ran.out


@pytest.mark.parametrize(
    "arguments", [("id",), ("status",), ("pin", "ls"), ("pin", "add", CID_V0), ("peers", "ls")]
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


# -- pins


def test_pins_are_added_listed_and_removed(run: Run, url: str, consensus: FakeConsensus) -> None:
    added = run("--host", url, "pin", "add", CID_V0, "--name", "hello", "--metadata", "k=v=w")
    listed = run("--host", url, "pin", "ls")
    removed = run("--host", url, "pin", "rm", CID_V0)
    empty = run("--host", url, "pin", "ls")

    assert (0, 0, 0, 0) == (added.code, listed.code, removed.code, empty.code)
    assert added.out == f"pinned  {CID_V0}\n"
    heading, row = listed.out.splitlines()
    assert heading.split() == ["CID", "NAME", "MODE", "PEERS", "ADDED", "EXPIRES"]
    assert row.split()[:4] == [CID_V0, "hello", "recursive", "everywhere"]
    assert row.index("hello") == heading.index("NAME")
    assert removed.out == f"unpinned  {CID_V0}\n"
    assert empty.out == ""


def test_a_pin_has_the_options_asked_for(run: Run, url: str, consensus: FakeConsensus) -> None:
    run("--host", url, "pin", "add", CID_V0, "-r", "2", "--mode", "direct", "--expire-in", "1h",
        "--metadata", "a=1", "--allocations", B, "--no-status")  # fmt: skip

    pin = consensus.pins.get(parse_cid(CID_V0))
    assert pin is not None
    assert (2, 2, 1) == (pin.replication_factor_min, pin.replication_factor_max, pin.mode)
    assert pin.expire_at is not None
    assert dict(pin.metadata or {}) == {"a": "1"}


def test_programs_get_the_pins_as_json(run: Run, url: str) -> None:
    added = run("--host", url, "--json", "pin", "add", CID_V0, CID_V1)
    listed = run("--host", url, "--json", "pin", "ls")

    assert [json.loads(line)["cid"] for line in added.out.splitlines()] == [CID_V0, CID_V1]
    assert {json.loads(line)["cid"] for line in listed.out.splitlines()} == {CID_V0, CID_V1}


def test_many_cids_are_read_from_standard_input_with_names(
    run: Run, url: str, consensus: FakeConsensus
) -> None:
    ran = run("--host", url, "pin", "add", "-", stdin=f"{CID_V0} first one\n\n{CID_V1}\n".encode())

    assert ran.out == "2 pinned\n"
    assert {"first one", ""} == {pin.name for pin in consensus.pins.list()}


def test_a_bad_line_stops_the_rest_and_says_how_many_were_done(run: Run, url: str) -> None:
    ran = run("--host", url, "pin", "add", "-", stdin=f"{CID_V0}\nzzz\n{CID_V1}\n".encode())

    assert ran.code == 2
    assert "zzz (1 done before it): error decoding Cid" in ran.err


@pytest.mark.parametrize(
    ("stdin", "said"), [(b"\xff\xfe\n", "line 1 is not UTF-8"), (b"x" * 5000, "line 1 is longer")]
)
def test_input_that_is_no_list_of_cids_is_refused(
    run: Run, url: str, stdin: bytes, said: str
) -> None:
    ran = run("--host", url, "pin", "add", "-", stdin=stdin)

    assert ran.code == 2
    assert said in ran.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProposalRefused("the disk is full"), 1),
        (OutcomeUnknown("leadership lost"), 3),
        (NoLeader("nobody leads", {ServerID(C): "refused"}), 4),
    ],
)
def test_a_failed_write_ends_with_the_code_of_its_outcome(
    run: Run, url: str, consensus: FakeConsensus, error: Exception, code: int
) -> None:
    consensus.error = error  # type: ignore[assignment]

    ran = run("--host", url, "pin", "add", CID_V0)

    assert code == ran.code
    assert str(error) in ran.err
    assert ran.out == ""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("rm", CID_ABSENT), 1, "pin is not part of the pinset"),
        (("ls", CID_ABSENT), 1, "pin is not part of the pinset"),
        (("add", "zzz"), 2, "error decoding Cid: 'zzz'"),
        (("ls", "--filter", "mine"), 2, "invalid filter value 'mine'"),
        (("add", CID_V0, "--metadata", "nothing"), 2, "KEY=VALUE"),
        (("add",), 2, "Missing argument"),
    ],
)
def test_bad_pin_input_is_named(
    run: Run, url: str, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ran = run("--host", url, "pin", *arguments)

    assert code == ran.code
    assert said in ran.err


def test_a_list_that_no_leader_confirms_is_shown_with_a_warning(
    run: Run, url: str, consensus: FakeConsensus
) -> None:
    consensus.pins = PinState([Pin.of(parse_cid(CID_V0))])
    consensus.role, consensus.leader = Role.FOLLOWER, B

    ran = run("--host", url, "pin", "ls")
    quiet = run("--host", url, "pin", "ls", "--local")

    assert (0, 0) == (ran.code, quiet.code)
    assert CID_V0 in ran.out
    assert ran.out == quiet.out
    assert "warning: " in ran.err
    assert quiet.err == ""


def test_a_connection_lost_before_the_answer_leaves_the_outcome_unknown(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def accept_and_drop() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)

        thread = threading.Thread(target=accept_and_drop)
        thread.start()
        ran = run("--host", f"127.0.0.1:{port}", "pin", "add", CID_V0)
        thread.join()

    assert ran.code == 3
    assert "may or may not have been done" in ran.err
