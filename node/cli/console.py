"""How commands print: coloured on a terminal, plain in a pipe, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["facts", "print_json", "stderr", "stdout", "table", "warn"]

_NARROWEST_PIPE = 10_000
"""A pipe has no width; lines are never cut for it."""


def stdout() -> Console:
    """Return a console on standard output."""
    return _console(to_stderr=False)


def stderr() -> Console:
    """Return a console on standard error."""
    return _console(to_stderr=True)


def _console(*, to_stderr: bool) -> Console:
    from rich.console import Console

    console = Console(stderr=to_stderr, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = _NARROWEST_PIPE
    return console


def warn(message: str) -> None:
    """Tell the person something that does not stop the command."""
    from rich.text import Text

    stderr().print(Text.assemble(("warning: ", "yellow"), message))


def print_json(value: object) -> None:
    """Print one JSON value on a line of its own."""
    import click

    click.echo(json.dumps(value, ensure_ascii=False))


def facts(pairs: Mapping[str, str]) -> None:
    """Print names and values, aligned."""
    from rich.text import Text

    console = stdout()
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        console.print(Text.assemble((name.ljust(width), "cyan"), "  ", value))


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[str] = (),
    indent: str = "",
    styles: Mapping[str, str] | None = None,
) -> None:
    """Print rows under headings, aligned with spaces.

    Columns named in ``right`` end flush; a cell that equals a key of ``styles`` is shown so.
    """
    from rich.text import Text

    console = stdout()
    widths = [max([len(name), *(len(row[i]) for row in rows)]) for i, name in enumerate(columns)]

    def line(cells: Sequence[str]) -> Text:
        text = Text(indent)
        for name, cell, width in zip(columns, cells, widths, strict=True):
            padded = cell.rjust(width) if name in right else cell.ljust(width)
            text.append(padded, (styles or {}).get(cell, "")).append("  ")
        text.rstrip()
        return text

    heading = line([name.upper() for name in columns])
    heading.stylize("bold")
    console.print(heading)
    for row in rows:
        console.print(line(row))
