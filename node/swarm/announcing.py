"""A host that tells its peers when it begins or ceases to serve a protocol."""

from __future__ import annotations

from typing import Final

import trio
from libp2p.custom_types import StreamHandlerFn, TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify_push.identify_push import push_identify_to_peers

__all__ = ["AnnouncingHost"]

_PUSH_S: Final = 5.0
"""For one round of announcements: a peer that takes none holds up no later one."""


class AnnouncingHost(BasicHost):
    """py-libp2p's host, which pushes its identify when its protocols change.

    py-libp2p does so for listen addresses only. A Go peer that connected before a handler
    was registered would not hear of it while the connection lasts.
    """

    _changed: trio.Event | None = None
    _is_told = True

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
            self._tell()

    def remove_stream_handler(self, protocol_id: TProtocol) -> None:
        super().remove_stream_handler(protocol_id)
        self._tell()

    def _tell(self) -> None:
        self._is_told = False
        if self._changed is not None:
            self._changed.set()
