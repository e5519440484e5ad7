"""What a daemon refuses before it opens anything, and how it ends when its disk fails."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from node.cli.main import main
from node.config import Folder
from node.folder_setup import NewPeer, create_folder
from raft_over_libp2p.errors import DurabilityLost
from raft_over_libp2p.raft.single_error import single_error
from tests.node.fakes import FakeConsensus


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_folder(Folder(tmp_path / "peer"), NewPeer())
    return tmp_path / "peer"


def _refusal(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as ended:
        main(["-c", str(folder), "daemon"])
    said = capsys.readouterr().err
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert ended.value.code == 2
    assert len(said.splitlines()) == 1, said
    assert before == {
        path: content for path, content in after.items() if path.name != "cluster.lock"
    }
    return said


def test_an_identity_that_others_can_read_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "identity.json").chmod(0o644)

    assert str(folder / "identity.json") in _refusal(folder, capsys)


def test_the_raft_log_of_a_go_peer_is_refused_naming_the_take_over(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "raft").mkdir(mode=0o700)
    (folder / "raft/raft.db").write_bytes(b"bolt")

    assert "migrate from-go" in _refusal(folder, capsys)


def test_a_founder_whose_raft_data_is_gone_does_not_found_a_second_cluster(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = json.loads((folder / "identity.json").read_text())["id"]
    (folder / "peerstore").write_text(f"/ip4/10.0.0.1/tcp/9096/p2p/{own}\n")

    assert "raft-node init --force --wait" in _refusal(folder, capsys)


def test_a_folder_that_was_never_initialised_says_what_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "raft-node init" in _refusal(tmp_path / "nothing", capsys)


@pytest.mark.parametrize(
    ("file", "text", "named"),
    [
        ("service.json", "{", "service.json: is not JSON"),
        ("service.json", '{"consensus": {"raft": {"heartbeat_timeout": 1}}}', "heartbeat_timeout: 1"),
        ("service.json", '{"cluster": {"peer_addresses": ["/ip4/1.2.3.4"]}}', "/ip4/1.2.3.4"),
        ("service.json", '{"consensus": {"raft": {"init_peerset": ["12D3"]}}}', "init_peerset: '12D3'"),
        ("identity.json", "{}", "identity.json"),
        ("identity.json", "no json", "identity.json"),
        ("peerstore", "/ip4/nowhere\n", "peerstore: address 1: '/ip4/nowhere'"),
    ],
)  # fmt: skip
def test_a_malformed_file_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], file: str, text: str, named: str
) -> None:
    (folder / file).write_text(text)

    assert named in _refusal(folder, capsys)


class _DiskFails(FakeConsensus):
    """A consensus whose disk fails while it runs."""

    @classmethod
    @asynccontextmanager
    async def open(cls, *_: object, **__: object) -> AsyncIterator[_DiskFails]:
        async def fail() -> None:
            raise DurabilityLost("fdatasync of log/1 failed: Input/output error")

        with single_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fail)
                yield cls()

    def set_client(self, client: object) -> None:
        """Nothing is forwarded."""


def test_a_disk_that_fails_ends_the_daemon_with_code_74(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.daemon.Consensus", _DiskFails)
    any_port = "/ip4/127.0.0.1/tcp/0"

    with pytest.raises(SystemExit) as ended:
        main(["-c", str(folder), "daemon", "--listen", any_port, "--api-listen", any_port])

    assert ended.value.code == 74
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: the disk failed: fdatasync of log/1 failed: Input/output error"
    )
