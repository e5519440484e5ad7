"""Traces made false in one place, to see that they are refused there."""

from __future__ import annotations

from collections.abc import Callable

from tests.model.lines import Line

__all__ = [
    "acknowledge_before_it_is_durable",
    "commit_too_early",
    "forget_the_last_entries",
    "vote_twice",
]


def _last(trace: list[Line], is_it: Callable[[Line], bool]) -> int:
    return max(place for place, line in enumerate(trace) if is_it(line))


def _before(trace: list[Line], place: int, do: str) -> list[Line]:
    """Move the line at ``place`` before the last one of its server that is a ``do``."""
    line = trace[place]
    cause = _last(trace[:place], lambda other: (other["i"], other["do"]) == (line["i"], do))
    return [*trace[:cause], line, *trace[cause:place], *trace[place + 1 :]]


def commit_too_early(trace: list[Line]) -> list[Line]:
    """Have a leader commit before it hears the acknowledgement that decided it."""
    commits = [
        place
        for place, line in enumerate(trace)
        if line["do"] == "commit" and trace[place - 1].get("what") == "ack"
    ]
    return _before(trace, commits[-1], "hears")


def vote_twice(trace: list[Line]) -> list[Line]:
    """Have a server that voted for one vote for itself as well."""
    place = _last(trace, lambda line: (line["do"], line.get("what")) == ("says", "vote"))
    vote = trace[place]
    return [*trace[: place + 1], {**vote, "to": vote["i"]}, *trace[place + 1 :]]


def acknowledge_before_it_is_durable(trace: list[Line]) -> list[Line]:
    """Have a follower acknowledge an entry before its disk has it."""
    place = _last(trace, lambda line: (line["do"], line.get("what")) == ("says", "ack"))
    return _before(trace, place, "persisted")


def forget_the_last_entries(trace: list[Line]) -> list[Line]:
    """Have a server start again without an entry it had made durable."""
    place = _last(trace, lambda line: line["do"] == "start")
    start = trace[place]
    entries = start["entries"][:-1]
    last = {"last": start["at"]["last"] - 1, "lastTerm": entries[-1]["term"]}
    shorter = {**start, "entries": entries, "at": start["at"] | last}
    return [*trace[:place], shorter, *trace[place + 1 :]]
