"""The options that all commands share, before or after the command's name, as ctl takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from node.config import Folder
    from node.http.client import APIClient

__all__ = [
    "Options",
    "common_options",
    "folder_option",
    "folder_options",
    "options_of",
    "remember",
]

_F = TypeVar("_F", bound=Callable[..., object])

_KEY = "raft-node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was said on the command line; None where nothing was."""

    config: str | None = None
    host: str | None = None
    basic_auth: str | None = None
    timeout: str | None = None
    enc: str | None = None
    json: bool = False

    @property
    def is_json(self) -> bool:
        """Whether output is for programs."""
        return self.json or self.enc == "json"

    def folder(self) -> Folder:
        """Return the peer's folder."""
        from node.config import Folder

        return Folder.find(self.config)

    def client(self) -> APIClient:
        """Return a client for the daemon meant: ``--host``, else the folder's own, else 9094.

        The password in service.json is sent to that file's own address only.

        Raises:
            ConfigError: service.json is malformed.
            click.UsageError: an option is malformed.

        """
        from node.http.client import APIClient, base_url

        credentials = _credentials(self.basic_auth)
        host = self.host
        if host is None:
            host, known = self._local_api()
            credentials = credentials or known
        try:
            url = base_url(host)
        except ValueError as error:
            raise click.UsageError(f"--host: {error}") from error
        return APIClient(url, basic_auth=credentials, timeout_s=self._timeout_s())

    def _local_api(self) -> tuple[str, tuple[str, str] | None]:
        folder = self.folder()
        if not folder.service_json.exists():
            return "/ip4/127.0.0.1/tcp/9094", None
        from node.config import load_config

        api = load_config(folder).api
        if not api.listen_multiaddrs:
            raise click.UsageError("service.json names no API address; use --host")
        address = api.listen_multiaddrs[0]
        for anywhere, here in (("/ip4/0.0.0.0/", "/ip4/127.0.0.1/"), ("/ip6/::/", "/ip6/::1/")):
            address = address.replace(anywhere, here)
        return address, next(iter(api.basic_auth.items())) if api.basic_auth else None

    def _timeout_s(self) -> float:
        from node.config.durations import parse_duration

        text = self.timeout or "30s"
        try:
            seconds = parse_duration(text if not text.isdigit() else f"{text}s")
        except ValueError as error:
            raise click.UsageError(f"--timeout: {error}") from error
        # ctl's default of 0 means no limit; here a command always ends.
        return min(seconds, 600.0) if seconds > 0 else 600.0


_FOLDER = click.option("-c", "--config", metavar="FOLDER", help="The peer's folder [~/.raft-node].")
_OUTPUT = (
    click.option("--enc", type=click.Choice(["text", "json"]), help="Output format [text]."),
    click.option("--json", is_flag=True, help="The same as --enc json."),
)
_API = (
    click.option(
        "--host", "-l", metavar="ADDR", help="The API: a multiaddr or URL [the folder's own]."
    ),
    click.option("--basic-auth", metavar="USER:PASS", help="Password for the API."),
    click.option("--timeout", "-t", metavar="TIME", help='How long to wait, e.g. "5s" [30s].'),
)


def common_options(function: _F) -> _F:
    """Add the options of a command that asks a daemon."""
    return _with(function, _FOLDER, *_API, *_OUTPUT)


def folder_options(function: _F) -> _F:
    """Add the options of a command that works on a folder."""
    return _with(function, _FOLDER, *_OUTPUT)


def folder_option(function: _F) -> _F:
    """Add ``-c`` alone."""
    return _with(function, _FOLDER)


def _with(function: _F, *options: Callable[[_F], _F]) -> _F:
    for option in reversed(options):
        function = option(function)
    return function


def remember(ctx: click.Context, options: dict[str, object]) -> None:
    """Keep the group's options for the command."""
    merged = {**ctx.meta.get(_KEY, {}), **{k: v for k, v in options.items() if v}}
    ctx.meta[_KEY] = merged


def options_of(ctx: click.Context, options: dict[str, object]) -> Options:
    """Return the command's options, those after its name over those before it."""
    remember(ctx, options)
    return Options(**ctx.meta[_KEY])


def _credentials(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    user, colon, password = text.partition(":")
    if not colon or not user:
        raise click.UsageError("--basic-auth: write USER:PASS")
    return user, password
