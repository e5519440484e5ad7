"""`raft-node pin` against a fake peer behind a real HTTP server, as a person types them."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from pinstate.cid import parse_cid
from pinstate.pin import Pin
from pinstate.state import PinState
from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.errors import NoLeader, OutcomeUnknown, ProposalRefused
from raft_over_libp2p.types import ServerID
from tests.node.cli_runner import Run
from tests.node.fakes import (
    CID_ABSENT,
    CID_V0,
    CID_V1,
    B,
    C,
    FakeConsensus,
)


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


def test_a_list_that_breaks_off_ends_with_an_error(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer_half() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(
                    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{"cid": "x"}\n'
                )

        thread = threading.Thread(target=answer_half)
        thread.start()
        ran = run("--host", f"127.0.0.1:{port}", "pin", "ls")
        thread.join()

    assert ran.code == 1
    assert f"the list from http://127.0.0.1:{port} broke off" in ran.err
