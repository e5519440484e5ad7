"""``python -m tests.interop.python_peer``: one server, driven by JSON lines."""

from __future__ import annotations

import sys

from tests.interop.python_peer.main import main

if __name__ == "__main__":
    main(sys.argv[1:])
