"""Who answers at an address? A handshake that shows it, and nothing more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import trio
from libp2p.abc import IRawConnection
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from node.swarm.dialing import DialFailed, why

if TYPE_CHECKING:
    from node.swarm.tcp import TCPTransport

__all__ = ["probe"]

_WHO_ANSWERED: Final = re.compile(r"(?:remote_peer_id_from_pubkey=|got )(\w+)")
"""py-libp2p names who answered in its messages only: Noise's, and TLS's."""


async def probe(
    swarm: Swarm, transport: TCPTransport, peer: ID, address: Multiaddr, *, timeout_s: float
) -> None:
    """Return when ``peer`` has shown at ``address``, and there alone, that it has its key.

    The connection is kept when it is the first to ``peer``. One that stands already, perhaps
    through another address, would prove nothing about this one: then there is a second
    handshake, and its connection is closed before any stream.

    Raises:
        DialFailed: nobody answers within ``timeout_s``, or somebody else does; says who.

    """
    if not transport.can_dial(address):
        raise DialFailed(f"{address} is not /ip4|ip6|dns*/.../tcp/...")
    with trio.move_on_after(timeout_s):
        try:
            if any(not connection.is_closed for connection in swarm.get_connections(peer)):
                await _shake_hands(swarm, await transport.dial(address), peer)
            else:
                swarm.unblock_peer(peer)
                await swarm.dial_addr(address, peer)
        except (BaseLibp2pError, ValueError) as error:  # TLS tells of another peer by ValueError
            raise DialFailed(f"{address}: {_reason(error, peer)}") from error
        return
    raise DialFailed(f"{address}: no answer within {timeout_s:g} s")


async def _shake_hands(swarm: Swarm, raw: IRawConnection, peer: ID) -> None:
    try:
        await swarm.upgrader.upgrade_security(raw, is_initiator=True, peer_id=peer)
    finally:
        with trio.CancelScope(shield=True):
            await raw.close()


def _reason(error: BaseException, peer: ID) -> str:
    text = why(error)
    other = _WHO_ANSWERED.search(text)
    return f"{other[1]} answers there, not {peer}" if other else text
