"""Play transcripts, or write down anew what comes of them: ``python -m tests.scenarios --help``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.scenarios.commands import BadCommand
from tests.scenarios.transcript import difference, files, replayed

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
        try:
            played = replayed(written)
        except BadCommand as error:
            raise SystemExit(f"{path}, {error}") from error
        if played != written:
            differing += 1
            sys.stdout.write(difference(path.name, written, played) + "\n")
        if arguments.rewrite:
            path.write_text(played)
    sys.stdout.write(f"transcripts that came out differently: {differing}\n")
    return 1 if differing and not arguments.rewrite else 0


if __name__ == "__main__":
    sys.exit(main())
