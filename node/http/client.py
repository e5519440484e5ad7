"""Talking to a daemon's HTTP API from a command: one connection, errors with their outcome."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final, Self

import httpx

from node import limits
from node.config.durations import format_duration
from node.errors import DaemonUnreachable, ExitCode, RequestFailed

__all__ = ["APIClient", "base_url"]

_EXIT_CODES: Final = {
    "not-done": ExitCode.NOT_DONE,
    "unknown": ExitCode.OUTCOME_UNKNOWN,
    "no-leader": ExitCode.NO_LEADER,
}
_MARGIN_S: Final = 2.0
"""The client waits this much longer than it asks the daemon to, to hear what became of it."""
_USAGE_STATUSES: Final = frozenset({400, 401, 405, 413, 414, 431, 501})


def base_url(host: str) -> str:
    """Return the URL of ``host``: a URL, ``host:port``, or a multiaddr like ctl's ``--host``.

    Raises:
        ValueError: it is none of them.

    """
    if host.startswith("/"):
        parts = host.strip("/").split("/")
        if parts[-1] == "http":
            parts = parts[:-1]
        match parts:
            case ["ip6" | "dns6", name, "tcp", port] if port.isdigit():
                return f"http://[{name}]:{port}" if parts[0] == "ip6" else f"http://{name}:{port}"
            case ["ip4" | "dns" | "dns4", name, "tcp", port] if port.isdigit():
                return f"http://{name}:{port}"
        raise ValueError(f"{host!r} is not a multiaddr such as /ip4/127.0.0.1/tcp/9094")
    url = host if "://" in host else f"http://{host}"
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{host!r} is not a URL: {error}") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ValueError(f"{host!r} is not a URL such as http://127.0.0.1:9094")
    return url.rstrip("/")


class APIClient:
    """One connection to one daemon, used by one thread. A context manager."""

    def __init__(
        self, url: str, *, basic_auth: tuple[str, str] | None = None, timeout_s: float
    ) -> None:
        self.url = url
        self._timeout_s = timeout_s
        self._http = httpx.Client(
            base_url=url,
            auth=basic_auth,
            timeout=httpx.Timeout(timeout_s + _MARGIN_S, connect=limits.CLIENT_CONNECT_S),
            limits=httpx.Limits(max_connections=1),
            trust_env=False,  # no proxy between a command and its daemon
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, object]:
        """Return the JSON object at ``path``."""
        return _object(self._request("GET", path, params))

    def change(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, str] | None = None,
    ) -> dict[str, object]:
        """Send a POST or DELETE and return the JSON object answered; none for 204.

        Raises:
            DaemonUnreachable: nobody took the request; nothing was done.
            RequestFailed: its ``exit_code`` tells what became of the operation; a connection
                lost after the request left makes it OUTCOME_UNKNOWN.

        """
        timeout = {"timeout": format_duration(self._timeout_s)}
        response = self._request(method, path, {**timeout, **(params or {})}, body)
        return {} if response.status_code == httpx.codes.NO_CONTENT else _object(response)

    def stream(
        self, path: str, params: Mapping[str, str] | None = None
    ) -> Iterator[dict[str, object]]:
        """Yield the objects of an NDJSON answer as they come; nothing for 204.

        The first item is always the headers, in an object of their own.
        """
        try:
            with self._http.stream("GET", path, params=params) as response:
                if response.is_error:
                    response.read()
                    raise _failure(response)
                yield dict(response.headers)
                yield from self._lines(response)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _lines(self, response: httpx.Response) -> Iterator[dict[str, object]]:
        try:
            for line in response.iter_lines():
                if line:
                    yield json.loads(line)
        except (httpx.TransportError, ValueError) as error:
            raise RequestFailed(
                0,
                f"the list from {self.url} broke off: {str(error) or type(error).__name__}",
                ExitCode.NOT_DONE,
            ) from error

    def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        try:
            response = self._http.request(method, path, params=params, json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._unreachable(error) from error
        except httpx.TransportError as error:
            if method == "GET":
                raise self._unreachable(error) from error
            raise RequestFailed(
                0,
                f"the connection to {self.url} was lost before the answer came "
                f"({_reason(error)}); it may or may not have been done",
                ExitCode.OUTCOME_UNKNOWN,
            ) from error
        if response.is_error:
            raise _failure(response)
        return response

    def _unreachable(self, error: httpx.TransportError) -> DaemonUnreachable:
        return DaemonUnreachable(
            f"no daemon answers at {self.url} ({_reason(error)}). Start one with "
            "`raft-node daemon`, or name another with --host."
        )


def _reason(error: httpx.TransportError) -> str:
    return str(error) or type(error).__name__


def _object(response: httpx.Response) -> dict[str, object]:
    try:
        value = response.json()
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise RequestFailed(
            response.status_code,
            f"{response.url} does not answer like a cluster's API",
            ExitCode.UNREACHABLE,
        )
    return value


def _failure(response: httpx.Response) -> RequestFailed:
    status = response.status_code
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("message"), str):
        body = {"message": f"{response.url} answered {status} {response.reason_phrase}"}
    code = _EXIT_CODES.get(body.get("outcome", ""), ExitCode.NOT_DONE)
    if status in _USAGE_STATUSES:
        code = ExitCode.USAGE
    elif "outcome" not in body and status >= 500:  # noqa: PLR2004 - a Go peer, which does not say
        code = ExitCode.OUTCOME_UNKNOWN
    return RequestFailed(status, body["message"], code)
