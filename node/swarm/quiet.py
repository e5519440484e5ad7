"""Keeping py-libp2p's own log lines off an operator's terminal."""

from __future__ import annotations

import logging

__all__ = ["keep_libp2p_off_stderr"]


def keep_libp2p_off_stderr() -> None:
    """Let py-libp2p's log lines go only where the program has sent logs on purpose.

    A program without logging set up gets every WARNING and ERROR of a library on stderr
    (``logging.lastResort``), and py-libp2p says ERROR whenever a peer goes away; what an
    operator needs to know of that is in our own errors and links. Call it in a program of
    one's own, such as the daemon: it is process-wide. Handlers of the root logger still
    get everything, and no level is changed.
    """
    logger = logging.getLogger("libp2p")
    if not any(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
        logger.addHandler(logging.NullHandler())
