"""The private network, byte for byte as Go's, however its bytes are cut."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from node.swarm.private_network import NotInThisNetwork, PrivateConnection
from node.swarm.xsalsa20 import XSalsa20
from tests.swarm.pipes import pipe_pair

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "psk.json").read_text())["psk"]
KEY = bytes(range(32))
HELLO = b"\x13/multistream/1.0.0\n"


@pytest.mark.parametrize("vector", VECTORS)
def test_the_keystream_is_that_of_go(vector: dict[str, str]) -> None:
    nonce, wire = bytes.fromhex(vector["nonce"]), bytes.fromhex(vector["wire"])
    cipher = XSalsa20(bytes.fromhex(vector["psk"]), nonce)

    assert wire == nonce + cipher.xor(bytes.fromhex(vector["plaintext"]))


@pytest.mark.parametrize("vector", VECTORS)
@pytest.mark.parametrize("piece_bytes", [1, 7, 64, 1000])
def test_the_keystream_runs_on_across_pieces(vector: dict[str, str], piece_bytes: int) -> None:
    cipher = XSalsa20(bytes.fromhex(vector["psk"]), bytes.fromhex(vector["nonce"]))
    plaintext = bytes.fromhex(vector["plaintext"])
    pieces = [plaintext[i : i + piece_bytes] for i in range(0, len(plaintext), piece_bytes)]

    assert bytes.fromhex(vector["wire"])[24:] == b"".join(cipher.xor(piece) for piece in pieces)


@pytest.mark.parametrize("vector", VECTORS)
async def test_what_is_written_is_what_go_writes(vector: dict[str, str]) -> None:
    ours, theirs = pipe_pair()
    connection = PrivateConnection(
        ours, bytes.fromhex(vector["psk"]), random_bytes=lambda _: bytes.fromhex(vector["nonce"])
    )
    plaintext = bytes.fromhex(vector["plaintext"])
    for start in range(0, len(plaintext), 50):
        await connection.write(plaintext[start : start + 50])

    assert bytes.fromhex(vector["wire"]) == await theirs.read(1000)


@pytest.mark.parametrize("piece_bytes", [1, 23, 24, 25, 1000])
async def test_the_nonce_and_the_bytes_after_it_may_come_in_any_pieces(piece_bytes: int) -> None:
    ours, theirs = pipe_pair()
    connection = PrivateConnection(ours, KEY)
    nonce = bytes(range(24))
    wire = nonce + XSalsa20(KEY, nonce).xor(HELLO + b"and more")
    received = b""
    for start in range(0, len(wire), piece_bytes):
        await theirs.write(wire[start : start + piece_bytes])
        if start + piece_bytes > 24:
            received += await connection.read(1000)

    assert received == HELLO + b"and more"


async def test_a_cancelled_read_of_half_a_nonce_loses_nothing() -> None:
    ours, theirs = pipe_pair()
    connection = PrivateConnection(ours, KEY)
    nonce = bytes(range(24))
    wire = nonce + XSalsa20(KEY, nonce).xor(HELLO)
    await theirs.write(wire[:10])
    with trio.move_on_after(0.01):
        await connection.read()
    await theirs.write(wire[10:])

    assert await connection.read() == HELLO


async def test_two_ends_with_one_secret_understand_each_other() -> None:
    one, two = (PrivateConnection(pipe, KEY) for pipe in pipe_pair())
    await one.write(HELLO)
    await two.write(HELLO)

    assert await two.read() == HELLO
    assert await one.read() == HELLO


async def test_another_secret_is_an_error_at_the_first_byte() -> None:
    ours, theirs = pipe_pair()
    one, two = PrivateConnection(ours, KEY), PrivateConnection(theirs, bytes(32))
    await two.write(HELLO)

    with pytest.raises(NotInThisNetwork, match="same cluster secret"):
        await one.read()


async def test_a_peer_in_no_private_network_is_an_error() -> None:
    ours, theirs = pipe_pair()
    await theirs.write(HELLO + b"\x07/noise\n")

    with pytest.raises(NotInThisNetwork, match="no private network"):
        await PrivateConnection(ours, KEY).read()


async def test_a_connection_that_ends_before_its_nonce_is_an_error() -> None:
    ours, theirs = pipe_pair()
    await theirs.write(b"short")
    await theirs.close()

    with pytest.raises(NotInThisNetwork, match="at once"):
        await PrivateConnection(ours, KEY).read()


def test_a_secret_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes, not 31"):
        PrivateConnection(pipe_pair()[0], bytes(31))
