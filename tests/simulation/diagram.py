"""The end of a seed's story as a space-time diagram: servers as lanes, time downwards, calls as arrows.

It is drawn from the lines that a world tells (``World.tell``), so nothing is kept for it in a run
that nobody draws. Each told event has a row of its own: distances are not times, which stand at the left.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from html import escape
from typing import Final

__all__ = ["Diagram"]

MOST_LINES: Final = 260
"""Lines that are drawn, the last ones: more than a few screens nobody reads."""

_ROW: Final = 17
_LANE: Final = 150
_LEFT: Final = 120
_TOP: Final = 64
_STORY: Final = 620
"""Width of the text at the right, in which each row is told in words."""

_COLOURS: Final = {
    "AppendEntriesRequest": "#1f6fb2",
    "Heartbeat": "#9bb7cc",
    "RequestVoteRequest": "#d9822b",
    "RequestPreVoteRequest": "#e3b23c",
    "InstallSnapshotRequest": "#7b4fa3",
    "TimeoutNowRequest": "#c23030",
    "ReadIndexRequest": "#2e8b57",
    "LeaseRequest": "#6b8e23",
}
_LINE: Final = re.compile(r"\s*(?P<at>[\d.]+) (?P<what>.*)", re.DOTALL)
_CALLS: Final = re.compile(r"(\S+) calls (\S+) #(\d+): (.*)", re.DOTALL)
_GETS: Final = re.compile(r"(\S+) gets( again)? from (\S+) #(\d+): (.*)", re.DOTALL)
_ANSWERS: Final = re.compile(r"(\S+) answers (\S+) #(\d+): (.*)", re.DOTALL)
_ANSWERED: Final = re.compile(r"(\S+) is answered by (\S+) #(\d+): (.*)", re.DOTALL)
_FAILED: Final = re.compile(r"(\S+)'s call #(\d+) to (\S+) failed")
_LEADS: Final = re.compile(
    r"(\S+) (observes RoleChanged\(role=<Role\.LEADER.*term=(\d+)|leads (\d+))"
)
_FOLLOWS: Final = re.compile(r"(\S+) (observes RoleChanged\(role=<Role\.(?!LEADER)|leads no more)")
_STARTS: Final = re.compile(r"(\S+) starts with")


def _ends(what: str) -> bool:
    return " crashes" in what or " is stopped" in what


@dataclass(slots=True)
class _Arrow:
    """A message: from a row of one lane to a row of another, or into nothing."""

    kind: str
    source: str
    target: str
    sent: int | None
    arrived: int | None = None
    is_answer: bool = False
    call: str = ""


@dataclass(slots=True)
class _Span:
    """A stretch of one lane: leading in a term, or down."""

    lane: str
    begin: int
    end: int | None = None
    term: str = ""


@dataclass
class Diagram:
    """Collects a story's lines; draws the last of them."""

    title: str = ""
    most_lines: int = MOST_LINES
    _lines: deque[str] = field(default_factory=deque)
    _leads: dict[str, str] = field(default_factory=dict)
    """Who led, in which term, when the first line that is kept was told."""
    _down: set[str] = field(default_factory=set)

    def tell(self, line: str) -> None:
        """Take in one line of the story."""
        self._lines.append(line)
        if len(self._lines) > self.most_lines:
            self._forget(self._lines.popleft())

    def _forget(self, line: str) -> None:
        match = _LINE.match(line)
        what = match["what"] if match else ""
        lane = what.split(" ", 1)[0]
        if (found := _LEADS.match(what)) is not None:
            self._leads[lane] = found[3] or found[4]
        elif _FOLLOWS.match(what):
            self._leads.pop(lane, None)
        elif _ends(what):
            self._leads.pop(lane, None)
            self._down.add(lane)
        elif _STARTS.match(what):
            self._down.discard(lane)

    def svg(self) -> str:
        """Return the picture as SVG text."""
        drawing = _Drawing(self._leads, self._down)
        for line in self._lines:
            drawing.read(line)
        return drawing.render(self.title)


class _Drawing:
    """Rows read into arrows and spans, and these into SVG."""

    def __init__(self, leads: dict[str, str], down: set[str]) -> None:
        self.rows: list[tuple[str, str, str]] = []
        self.arrows: list[_Arrow] = []
        self.leads = [_Span(lane, 0, None, term) for lane, term in leads.items()]
        self.down = [_Span(lane, 0) for lane in down]
        self.lanes = sorted({*leads, *down})
        self._calls: dict[tuple[str, str, str], list[_Arrow]] = {}
        self._of_inbound: dict[tuple[str, str], _Arrow] = {}
        self._answers: dict[tuple[str, str], _Arrow] = {}

    def read(self, line: str) -> None:
        """Take in the next line that is to be drawn."""
        match = _LINE.match(line)
        if match is None:
            return
        self._take(match["at"], match["what"])

    def _take(self, at: str, what: str) -> None:
        row = len(self.rows)
        lane = what.split(" ", 1)[0].removesuffix("'s")
        self.rows.append((at, lane, what))
        if (found := _CALLS.match(what)) is not None:
            self._call(row, *found.groups())
        elif (found := _GETS.match(what)) is not None:
            self._get(row, *found.groups())
        elif (found := _ANSWERS.match(what)) is not None:
            self._answer(row, *found.groups())
        elif (found := _ANSWERED.match(what)) is not None:
            self._answered(row, *found.groups())
        elif (found := _FAILED.match(what)) is not None:
            self._lane(found[1])
        elif (found := _LEADS.match(what)) is not None:
            self._end(self.leads, found[1], row)
            self.leads.append(_Span(self._lane(found[1]), row, None, found[3] or found[4]))
        elif (found := _FOLLOWS.match(what)) is not None:
            self._end(self.leads, self._lane(found[1]), row)
        elif _ends(what):
            self._end(self.leads, lane, row)
            self.down.append(_Span(self._lane(lane), row))
        elif _STARTS.match(what):
            self._end(self.down, self._lane(lane), row)

    def _lane(self, name: str) -> str:
        if name not in self.lanes:
            self.lanes.append(name)
        return name

    @staticmethod
    def _end(spans: list[_Span], lane: str, row: int) -> None:
        for span in spans:
            if span.lane == lane and span.end is None:
                span.end = row

    def _call(self, row: int, source: str, target: str, call: str, request: str) -> None:
        arrow = _Arrow(_kind(request), self._lane(source), self._lane(target), row, call=call)
        self.arrows.append(arrow)
        self._calls.setdefault((source, target, request), []).append(arrow)

    def _get(
        self, row: int, target: str, again: str | None, source: str, inbound: str, request: str
    ) -> None:
        waiting = self._calls.get((source, target, request), [])
        if waiting and not again:
            arrow = waiting.pop(0)
        else:
            arrow = _Arrow(_kind(request), self._lane(source), self._lane(target), None)
            self.arrows.append(arrow)
        arrow.arrived = row
        self._of_inbound[target, inbound] = arrow

    def _answer(self, row: int, source: str, target: str, inbound: str, _: str) -> None:
        asked = self._of_inbound.get((source, inbound))
        kind = asked.kind if asked is not None else ""
        arrow = _Arrow(kind, self._lane(source), self._lane(target), row, is_answer=True)
        self.arrows.append(arrow)
        if asked is not None:
            self._answers[target, asked.call] = arrow

    def _answered(self, row: int, target: str, _: str, call: str, __: str) -> None:
        arrow = self._answers.get((target, call))
        if arrow is not None:
            arrow.arrived = row

    # -- drawing

    def render(self, title: str) -> str:
        self.lanes.sort()
        height = _TOP + _ROW * (len(self.rows) + 2)
        width = _LEFT + _LANE * max(1, len(self.lanes)) + _STORY
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"',
            f'viewBox="0 0 {width} {height}" font-family="monospace" font-size="11">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            f'<text x="12" y="20" font-size="14" font-weight="bold">{escape(title)}</text>',
            *self._legend(),
            *self._lane_lines(height),
            *(self._arrow(arrow) for arrow in self.arrows),
            *self._row_texts(width),
            "</svg>",
        ]
        return "\n".join(part for part in parts if part)

    def _x(self, lane: str) -> float:
        return _LEFT + _LANE * (self.lanes.index(lane) + 0.5)

    @staticmethod
    def _y(row: float) -> float:
        return _TOP + _ROW * (row + 1)

    def _legend(self) -> list[str]:
        parts, x = [], 12
        for kind, colour in _COLOURS.items():
            name = kind.removesuffix("Request")
            parts.append(f'<text x="{x}" y="38" fill="{colour}">{name}</text>')
            x += 8 * len(name) + 14
        parts.append(
            f'<text x="{x}" y="38" fill="#555">thick: leads; dashed: down; short: lost or later</text>'
        )
        return parts

    def _lane_lines(self, height: int) -> list[str]:
        parts = []
        for lane in self.lanes:
            x = self._x(lane)
            parts.append(
                f'<text x="{x}" y="{_TOP - 6}" text-anchor="middle" font-weight="bold">{lane}</text>'
                f'<line x1="{x}" y1="{_TOP}" x2="{x}" y2="{height - _ROW}" stroke="#bbb"/>'
            )
        for span in self.down:
            x, end = self._x(span.lane), self._y(len(self.rows) if span.end is None else span.end)
            parts.append(
                f'<line x1="{x}" y1="{self._y(span.begin)}" x2="{x}" y2="{end}" stroke="white" '
                f'stroke-width="3" stroke-dasharray="4 3"/>'
            )
        for span in self.leads:
            x, end = self._x(span.lane), self._y(len(self.rows) if span.end is None else span.end)
            parts.append(
                f'<line x1="{x}" y1="{self._y(span.begin)}" x2="{x}" y2="{end}" stroke="#2e8b57" '
                f'stroke-width="6" stroke-opacity="0.45"/>'
                f'<text x="{x + 6}" y="{self._y(span.begin) - 3}" fill="#2e8b57">'
                f"leads {span.term}</text>"
            )
        return parts

    def _arrow(self, arrow: _Arrow) -> str:
        if arrow.sent is None and arrow.arrived is None:
            return ""
        colour = _COLOURS.get(arrow.kind, "#555")
        sent_x, arrived_x = self._x(arrow.source), self._x(arrow.target)
        if arrow.sent is None:
            # It was sent before the picture begins, or is a second copy: only its end is seen.
            arrived_y = self._y(arrow.arrived or 0)
            sent_x, sent_y = arrived_x + (sent_x - arrived_x) * 0.2, arrived_y - 4
        else:
            sent_y = self._y(arrow.sent)
            if arrow.arrived is None:
                arrived_x, arrived_y = sent_x + (arrived_x - sent_x) * 0.2, sent_y + 4
            else:
                arrived_y = self._y(arrow.arrived)
        style = 'stroke-dasharray="2 2"' if arrow.is_answer else ""
        tip = "" if arrow.arrived is None else _tip(sent_x, arrived_x, arrived_y, colour)
        return (
            f'<line x1="{sent_x}" y1="{sent_y}" x2="{arrived_x}" y2="{arrived_y}" '
            f'stroke="{colour}" {style}/>{tip}'
        )

    def _row_texts(self, width: int) -> list[str]:
        parts = []
        right = _LEFT + _LANE * max(1, len(self.lanes)) + 8
        for row, (at, lane, what) in enumerate(self.rows):
            y = self._y(row)
            is_violation = what.startswith("VIOLATION")
            if is_violation:
                parts.append(
                    f'<rect x="0" y="{y - 12}" width="{width}" height="{_ROW}" fill="#c23030" '
                    f'fill-opacity="0.2"/>'
                )
            if lane in self.lanes:
                parts.append(f'<circle cx="{self._x(lane)}" cy="{y}" r="2.5" fill="#333"/>')
            shown = what if len(what) <= _STORY // 7 else what[: _STORY // 7 - 1] + "…"
            colour = "#c23030" if is_violation else "#333"
            parts.append(
                f'<text x="8" y="{y + 4}" fill="#777">{at}</text>'
                f'<text x="{right}" y="{y + 4}" fill="{colour}"><title>{escape(what)}</title>'
                f"{escape(shown)}</text>"
            )
        return parts


def _kind(request: str) -> str:
    name = request.split("(", 1)[0]
    is_heartbeat = name == "AppendEntriesRequest" and "entries=None" in request
    return "Heartbeat" if is_heartbeat else name


def _tip(from_x: float, x: float, y: float, colour: str) -> str:
    back = 7 if from_x < x else -7
    return f'<path d="M{x} {y} l{-back} -3 v6 z" fill="{colour}"/>'
