"""A host that tells its peers when it begins to serve a protocol, and serves some by itself."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, cast

import trio
from libp2p.custom_types import StreamHandlerFn, TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify_push.identify_push import push_identify_to_peers
from libp2p.network.swarm import Swarm

from node.swarm.accepting import BareHandler, BareProtocols

__all__ = ["AnnouncingHost"]

_PUSH_S: Final = 5.0
"""For one round of announcements: a peer that takes none holds up no later one."""


class AnnouncingHost(BasicHost):
    """py-libp2p's host, which pushes its identify when its protocols change.

    py-libp2p does so for listen addresses only. A Go peer that connected before a handler
    was registered would not hear of it while the connection lasts.
    """

    def __init__(self, network: Swarm, bare: BareProtocols, **options: Any) -> None:  # noqa: ANN401
        """Be the host of ``network``, whose muxer accepts what is in ``bare``."""
        self._bare = bare
        self._changed: trio.Event | None = None
        self._is_told = True
        super().__init__(network, **options)

    async def announce_changes(self) -> None:
        """Push each change to whoever is connected then, until cancelled."""
        while True:
            self._changed = trio.Event()
            if self._is_told:
                await self._changed.wait()
            # Handlers that are registered together are told of together.
            await trio.lowlevel.checkpoint()
            self._is_told = True
            with trio.move_on_after(_PUSH_S):
                await push_identify_to_peers(self)

    def set_stream_handler(self, protocol_id: TProtocol, stream_handler: StreamHandlerFn) -> None:
        is_new = protocol_id not in self.multiselect.handlers
        super().set_stream_handler(protocol_id, stream_handler)
        if is_new:
            self._is_told = False
            if self._changed is not None:
                self._changed.set()

    def set_members(self, members: Collection[str]) -> None:
        """Open the streams of ``members`` (peer IDs) at a higher rate than those of others."""
        self._bare.members = frozenset(members)

    def set_bare_stream_handler(self, protocol_id: TProtocol, stream_handler: BareHandler) -> None:
        """Have ``stream_handler`` serve ``protocol_id`` with nothing of py-libp2p in between."""
        self._bare.set(protocol_id, stream_handler)
        # Also for identify, and for streams whose proposal comes late. The handler asks of a
        # stream only what both kinds have.
        self.set_stream_handler(protocol_id, cast("StreamHandlerFn", stream_handler))

    def remove_stream_handler(self, protocol_id: TProtocol) -> None:
        self._bare.remove(protocol_id)
        super().remove_stream_handler(protocol_id)
