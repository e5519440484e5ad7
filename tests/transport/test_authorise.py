"""Who a message says it is from must be who sent it (mixed-cluster rule 24)."""

from __future__ import annotations

import pytest

from keys.identity import Identity
from keys.peer_id import PeerID
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    InstallSnapshotRequest,
    Request,
    RequestPreVoteRequest,
    RequestVoteRequest,
    TimeoutNowRequest,
)
from raft_over_libp2p.errors import PeerIDMismatch, UnsupportedVersion
from raft_over_libp2p.transport.authorise import authorise
from raft_over_libp2p.types import Configuration, Index, LogEntry, ServerID, Term
from raft_over_libp2p.wire.header import RPCHeader

PEER = Identity.from_seed(bytes(range(32))).peer_id
US = ServerID(str(PEER))
OTHER = ServerID(str(Identity.from_seed(bytes(32)).peer_id))


def cid_text(peer: PeerID) -> str:
    """Return the CIDv1 form of ``peer``, which Go's peer.Decode accepts too."""
    import base64

    cid = b"\x01\x72" + peer.multihash
    return "b" + base64.b32encode(cid).decode().lower().rstrip("=")


def append(leader: str) -> AppendEntriesRequest:
    return AppendEntriesRequest(
        term=Term(1), leader=ServerID(leader), entries=(LogEntry(Index(1), Term(1)),)
    )


def vote(candidate: str) -> RequestVoteRequest:
    return RequestVoteRequest(
        term=Term(1),
        candidate=ServerID(candidate),
        last_log_index=Index(0),
        last_log_term=Term(0),
    )


def snapshot(leader: str) -> InstallSnapshotRequest:
    return InstallSnapshotRequest(
        term=Term(1),
        leader=ServerID(leader),
        last_log_index=Index(1),
        last_log_term=Term(1),
        configuration=Configuration(),
        configuration_index=Index(1),
        size_bytes=0,
    )


PRE_VOTE = RequestPreVoteRequest(term=Term(1), last_log_index=Index(0), last_log_term=Term(0))


@pytest.mark.parametrize(
    "request_", [append(US), vote(US), snapshot(US), PRE_VOTE, TimeoutNowRequest()]
)
def test_an_honest_message_passes_as_it_is(request_: Request) -> None:
    assert authorise(US, RPCHeader(3, US, US), request_) == request_


@pytest.mark.parametrize("make", [append, vote, snapshot])
@pytest.mark.parametrize("text", ["", cid_text(PEER)])
def test_another_text_of_the_same_peer_or_none_passes_as_the_peer(make, text: str) -> None:
    passed = authorise(US, RPCHeader(3, text, text), make(text))

    assert passed == make(US)


@pytest.mark.parametrize(
    ("header_id", "addr", "request_"),
    [
        (OTHER, US, append(US)),
        (US, OTHER, append(US)),
        (US, US, append(OTHER)),
        (US, US, vote(OTHER)),
        (US, US, snapshot(OTHER)),
        ("", "", vote(OTHER)),
        ("not a peer ID", US, TimeoutNowRequest()),
        (OTHER, OTHER, PRE_VOTE),
    ],
)
def test_a_claim_to_be_another_is_a_mismatch(header_id: str, addr: str, request_: Request) -> None:
    with pytest.raises(PeerIDMismatch, match="in the name of"):
        authorise(US, RPCHeader(3, header_id, addr), request_)


@pytest.mark.parametrize("version", [-1, 0, 1, 4])
def test_a_version_we_do_not_speak_is_refused(version: int) -> None:
    with pytest.raises(UnsupportedVersion, match="operation not supported"):
        authorise(US, RPCHeader(version, US, US), vote(US))


@pytest.mark.parametrize("version", [2, 3])
def test_peers_of_protocol_versions_2_and_3_are_answered(version: int) -> None:
    """Both write configurations into the log, with IDs; those of 2 are the address, as all are here."""
    assert authorise(US, RPCHeader(version, US, US), vote(US)) == vote(US)


def test_a_heartbeat_may_have_a_newer_version() -> None:
    """Go's heartbeat path does not look at it."""
    beat = AppendEntriesRequest(term=Term(1), leader=US)

    assert authorise(US, RPCHeader(4, US, US), beat) == beat
