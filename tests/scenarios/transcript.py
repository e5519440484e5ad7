"""A transcript file: blocks of commands, ``----``, and what came of them.

Blocks are parted by blank lines; lines that begin with ``#`` are for people. The first ones
say what the file shows, and its last words name the source.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from tests.scenarios.commands import BadCommand, run
from tests.scenarios.world import World

__all__ = ["FOLDER", "difference", "files", "replayed"]

FOLDER = Path(__file__).parent
_RULE = "----"
_NOTHING = "nothing happens"


def files() -> list[Path]:
    """Return all transcripts, in order."""
    return sorted(FOLDER.glob("*.txt"))


def difference(name: str, written: str, played: str) -> str:
    """Return what is written and did not happen, and what happens now."""
    texts = (written.splitlines(), played.splitlines())
    return "\n".join(difflib.unified_diff(*texts, f"{name} as written", "played now", lineterm=""))


def replayed(text: str) -> str:
    """Return ``text`` with what comes of its commands now.

    Raises:
        BadCommand: a command makes no sense; the message tells its line.

    """
    world = World()
    blocks: list[str] = []
    line = 1
    for block in text.rstrip("\n").split("\n\n"):
        blocks.append(_block(world, block, line))
        line += block.count("\n") + 2
    return "\n\n".join(blocks) + "\n"


def _block(world: World, block: str, first_line: int) -> str:
    lines = block.split("\n")
    commands = lines[: lines.index(_RULE)] if _RULE in lines else lines
    if all(line.startswith("#") for line in commands):
        return block
    for number, line in enumerate(commands, first_line):
        try:
            if not line.startswith("#"):
                run(world, line)
        except BadCommand as error:
            raise BadCommand(f"line {number}: {error}") from error
    told, world.lines = world.lines or [_NOTHING], []
    return "\n".join([*commands, _RULE, *told])
