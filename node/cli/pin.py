"""``raft-node pin add|rm|ls``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Self

import click

from node import limits
from node.cli.options import common_options, options_of
from node.errors import ExitCode, NodeError, RequestFailed

if TYPE_CHECKING:
    from node.http.client import APIClient

__all__ = ["pin_command"]

_BAR_FROM = 20
"""From how many operations on a bar is shown."""
_NOT_CONFIRMED = frozenset({503, 504})
"""A read that no leader confirmed; the peer's own copy can still be had."""
_MODES = ("recursive", "direct")


@click.group("pin")
def pin_command() -> None:
    """Add, remove and list pins."""


@pin_command.command("add")
@click.argument("cids", nargs=-1, required=True, metavar="CID... | -")
@click.option("--name", "-n", default="", help="A name for the pin.")
@click.option("--replication", "-r", type=int, help="How many peers hold it; -1 for all.")
@click.option("--replication-min", "--rmin", type=int, help="Fewest peers.")
@click.option("--replication-max", "--rmax", type=int, help="Most peers.")
@click.option("--mode", type=click.Choice(_MODES), help="How far below its root it reaches.")
@click.option("--expire-in", metavar="TIME", help='Unpin after this time, e.g. "24h".')
@click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="May be repeated.")
@click.option("--allocations", "--allocs", metavar="ID,ID", help="Peers that shall hold it.")
@click.option("--no-status", "--ns", is_flag=True, help="Taken for ctl's sake; no effect.")
@common_options
@click.pass_context
def pin_add(ctx: click.Context, /, cids: tuple[str, ...], **flags: object) -> None:
    """Pin each CID; returns when a majority holds it durably.

    With - the CIDs are read from standard input, one a line, each with an optional name
    after it. Stops at the first one that fails and says which; repeating a pin does no harm.
    """
    params = _pin_params(flags)
    options = options_of(ctx, {k: v for k, v in flags.items() if k not in _PIN_FLAGS})
    with options.client() as client:
        _change_each(client, "POST", cids, params, is_json=options.is_json)


@pin_command.command("rm")
@click.argument("cids", nargs=-1, required=True, metavar="CID... | -")
@click.option("--no-status", "--ns", is_flag=True, help="Taken for ctl's sake; no effect.")
@common_options
@click.pass_context
def pin_rm(ctx: click.Context, /, cids: tuple[str, ...], **flags: object) -> None:
    """Remove each CID from the pinset; with - read them from standard input."""
    flags.pop("no_status")
    options = options_of(ctx, flags)
    with options.client() as client:
        _change_each(client, "DELETE", cids, {}, is_json=options.is_json)


@pin_command.command("ls")
@click.argument("cids", nargs=-1, metavar="[CID...]")
@click.option(
    "--filter", "types", metavar="TYPES", help="pin, meta-pin, clusterdag-pin, shard-pin, all."
)
@click.option("--local", is_flag=True, help="The peer's own copy, without asking the leader.")
@common_options
@click.pass_context
def pin_ls(
    ctx: click.Context, /, *, cids: tuple[str, ...], types: str | None, local: bool, **flags: object
) -> None:
    """List the pinset, or the pins named.

    The list holds everything acknowledged before it was asked for. When no leader answers,
    the peer's own copy is shown, with a warning.
    """
    from node.cli.console import print_json

    options = options_of(ctx, flags)
    with options.client() as client:
        pins = _pins(client, cids, types, is_local=local)
        if options.is_json:
            for pin in pins:
                print_json(pin)
        else:
            _print_pins(pins)


_PIN_FLAGS = frozenset(
    {
        "name", "replication", "replication_min", "replication_max", "mode", "expire_in",
        "metadata", "allocations", "no_status",
    }
)  # fmt: skip


def _pin_params(flags: dict[str, object]) -> dict[str, str]:
    given = {
        "name": flags["name"],
        "mode": flags["mode"],
        "replication": flags["replication"],
        "replication-min": flags["replication_min"],
        "replication-max": flags["replication_max"],
        "expire-in": flags["expire_in"],
        "user-allocations": flags["allocations"],
    }
    params = {key: str(value) for key, value in given.items() if value not in (None, "")}
    pairs = flags["metadata"]
    for pair in pairs if isinstance(pairs, tuple) else ():
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.UsageError(f"--metadata: write KEY=VALUE, not {pair!r}")
        params[f"meta-{key}"] = value
    return params


def _change_each(
    client: APIClient, method: str, cids: Sequence[str], params: dict[str, str], *, is_json: bool
) -> None:
    """Pin or unpin one after another, with a bar on standard error when there are many."""
    from node.cli.console import print_json

    done = 0
    is_many = tuple(cids) == ("-",) or len(cids) >= _BAR_FROM
    items = _lines(method) if tuple(cids) == ("-",) else [(cid, "") for cid in cids]
    with _Bar(method, total=None if tuple(cids) == ("-",) else len(cids), is_shown=is_many) as bar:
        for cid, name in items:
            try:
                pin = client.change(method, f"/pins/{_quoted(cid)}", _named(params, name))
            except RequestFailed as error:
                raise _at(error, cid, done, is_many=is_many) from error
            done += 1
            bar.advance()
            if is_json:
                print_json(pin)
            elif not is_many:
                click.echo(f"{'pinned' if method == 'POST' else 'unpinned'}  {pin['cid']}")
    if is_many and not is_json:
        click.echo(f"{done} {'pinned' if method == 'POST' else 'unpinned'}")


def _named(params: dict[str, str], name: str) -> dict[str, str]:
    return {**params, "name": name} if name else params


def _at(error: RequestFailed, cid: str, done: int, *, is_many: bool) -> RequestFailed:
    before = f" ({done} done before it)" if is_many else ""
    return RequestFailed(error.status, f"{cid}{before}: {error}", error.exit_code)


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def _lines(method: str) -> Iterator[tuple[str, str]]:
    stream = sys.stdin.buffer
    number = 0
    while raw := stream.readline(limits.MAX_CLIENT_LINE_BYTES + 1):
        number += 1
        if len(raw) > limits.MAX_CLIENT_LINE_BYTES:
            message = f"line {number} is longer than {limits.MAX_CLIENT_LINE_BYTES} bytes"
            raise _InputError(message)
        try:
            cid, _, name = raw.decode().strip().partition(" ")
        except UnicodeDecodeError as error:
            raise _InputError(f"line {number} is not UTF-8") from error
        if cid:
            yield cid, name.strip() if method == "POST" else ""


class _InputError(NodeError):
    """Standard input cannot be read as CIDs."""

    exit_code = ExitCode.USAGE


class _Bar:
    """A progress bar on standard error, shown on a terminal only."""

    def __init__(self, method: str, *, total: int | None, is_shown: bool) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        from node.cli.console import stderr

        console = stderr()
        self._progress = Progress(
            TextColumn("[cyan]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            console=console,
            transient=True,
            disable=not (is_shown and console.is_terminal),
        )
        what = "pinning" if method == "POST" else "unpinning"
        self._task = self._progress.add_task(what, total=total, rate="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self) -> None:
        speed = self._progress.tasks[0].speed
        self._progress.update(self._task, advance=1, rate=f"{speed:.0f}/s" if speed else "")


def _pins(
    client: APIClient, cids: Sequence[str], types: str | None, *, is_local: bool
) -> Iterator[dict[str, object]]:
    """Yield the pins, asked for as fresh as can be had."""
    filters = {"filter": types} if types else {}
    fresh = {} if is_local else {"consistency": "linearizable"}
    try:
        yield from _read(client, cids, filters | fresh)
    except RequestFailed as error:
        if is_local or error.status not in _NOT_CONFIRMED:
            raise
        from node.cli.console import warn

        warn(f"this is the peer's own copy and may be old: {error}")
        yield from _read(client, cids, filters)


def _read(
    client: APIClient, cids: Sequence[str], params: dict[str, str]
) -> Iterator[dict[str, object]]:
    if cids:
        for cid in cids:
            yield client.get(f"/allocations/{_quoted(cid)}", params)
        return
    pins = client.stream("/allocations", params)
    next(pins)
    yield from pins


def _print_pins(pins: Iterator[dict[str, object]]) -> None:
    """Print pins as they come: the columns' widths are fixed, so that a million need no memory."""
    count = 0
    for pin in pins:
        if not count:
            _print_row(("CID", "NAME", "MODE", "PEERS", "ADDED", "EXPIRES"), is_heading=True)
        count += 1
        _print_row(_pin_row(pin), is_heading=False)
    if sys.stdout.isatty():
        click.secho(f"{count} pins", fg="cyan", err=True)


def _print_row(cells: Sequence[str], *, is_heading: bool) -> None:
    widths = (59, 24, 9, 10, 20, 0)
    line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
    click.secho(line, bold=is_heading or None)


def _pin_row(pin: dict[str, object]) -> tuple[str, ...]:
    expiry = str(pin.get("expire_at", ""))
    allocations = pin.get("allocations")
    held = len(allocations) if isinstance(allocations, list) and allocations else "everywhere"
    return (
        str(pin.get("cid", "")),
        str(pin.get("name", "")) or "-",
        str(pin.get("mode", "")),
        str(held),
        str(pin.get("timestamp", ""))[:20],
        "never" if not expiry or expiry.startswith("0001-") else expiry[:20],
    )
