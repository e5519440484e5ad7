"""What clients make of answers, and of none: a call that may have been done is never called undone."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from tests.chaos.api_client import Answer, AnswerLost, Connection, NotSent
from tests.chaos.history import ABSENT, Kind, Outcome
from tests.chaos.workload import outcome_of

_LINEARIZABLE = {"x-raft-consistency": "linearizable"}


def _answer(status: int, headers: dict[str, str] | None = None, **body: object) -> Answer:
    return Answer(status, headers or {}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("kind", "answer", "expected"),
    [
        ("pin", _answer(200, name="v1"), ("done", ABSENT)),
        ("unpin", _answer(200, name="v1"), ("done", ABSENT)),
        ("read", _answer(200, _LINEARIZABLE, name="v1"), ("done", "v1")),
        ("read", _answer(404, _LINEARIZABLE, outcome="not-done", message="m"), ("done", ABSENT)),
        # No such pin, as a copy says that may be old.
        ("unpin", _answer(404, outcome="not-done", message="m"), ("not-done", ABSENT)),
        ("read", _answer(404, outcome="not-done", message="m"), ("not-done", ABSENT)),
        ("pin", _answer(503, outcome="no-leader", message="m"), ("not-done", ABSENT)),
        ("pin", _answer(504, outcome="unknown", message="m"), ("unknown", ABSENT)),
        ("pin", _answer(500), ("unknown", ABSENT)),
        ("pin", Answer(500, {}, b"Internal Server Error"), ("unknown", ABSENT)),
    ],
)
def test_an_answer_is_taken_for_what_it_says(
    kind: Kind, answer: Answer, expected: tuple[Outcome, str]
) -> None:
    outcome, value, _ = outcome_of(kind, answer)

    assert expected == (outcome, value)


def _socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


@asynccontextmanager
async def _server(*answers: bytes) -> AsyncIterator[Connection]:
    """Give each request on one connection the next answer, then end the connection."""

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            for answer in answers:
                await stream.receive_some()
                await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        connection = Connection(_socket, listeners[0].socket.getsockname()[1])
        yield connection
        connection.close()
        nursery.cancel_scope.cancel()


async def test_a_request_that_nobody_took_was_not_sent() -> None:
    with _socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        connection = Connection(_socket, unheard.getsockname()[1])

        with pytest.raises(NotSent):
            await connection.request("GET", "/", within_s=5)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n",
        b"nonsense\r\n\r\n",
    ],
)
async def test_an_answer_that_breaks_off_is_lost(answer: bytes) -> None:
    async with _server(answer) as connection:
        with pytest.raises(AnswerLost):
            await connection.request("GET", "/", within_s=5)


async def test_an_answer_that_never_comes_is_lost(autojump_clock: Callable) -> None:
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, _say_nothing, listeners)
        connection = Connection(_socket, listeners[0].socket.getsockname()[1])

        with pytest.raises(AnswerLost):
            await connection.request("GET", "/", within_s=0.5)

        nursery.cancel_scope.cancel()


async def _say_nothing(stream: trio.SocketStream) -> None:
    async with stream:
        await trio.sleep_forever()


async def test_a_connection_is_kept_for_the_next_request() -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole"
    in_pieces = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nin\r\n3\r\ntwo\r\n0\r\n\r\n"
    )
    async with _server(whole, in_pieces) as connection:
        first = await connection.request("GET", "/", within_s=5)
        second = await connection.request("GET", "/", within_s=5)

    assert (b"whole", b"intwo") == (first.body, second.body)
