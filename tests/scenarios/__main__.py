"""Play transcripts, or write down anew what comes of them: ``python -m tests.scenarios --help``."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

from tests.scenarios.transcript import files, replayed

__all__ = ["main"]


def main() -> int:
    """Return 0 if every transcript comes out as written, or was rewritten."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.scenarios",
        description="Play the transcripts of tests/scenarios and show where they differ.",
    )
    parser.add_argument("--rewrite", action="store_true", help="write down what comes of them now")
    parser.add_argument("file", nargs="*", type=Path, help="these only (default: all)")
    arguments = parser.parse_args()
    differing = 0
    for path in arguments.file or files():
        written = path.read_text()
        played = replayed(written)
        if played == written:
            continue
        differing += 1
        diff = difflib.unified_diff(
            written.splitlines(), played.splitlines(), str(path), "played now", lineterm=""
        )
        sys.stdout.write("\n".join(diff) + "\n")
        if arguments.rewrite:
            path.write_text(played)
    sys.stdout.write(f"transcripts: {differing} differ\n")
    return 1 if differing and not arguments.rewrite else 0


if __name__ == "__main__":
    sys.exit(main())
