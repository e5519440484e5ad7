"""Go's text form of a duration ("2m0s", "500ms"), as service.json and the HTTP API write it."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

__all__ = ["format_duration", "parse_duration"]

_UNITS_S: Final = {
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "μs": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
}
_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_MAX_TEXT_CHARS: Final = 64
_MAX_S: Final = Decimal(2**63) / Decimal(10**9)
"""Go counts nanoseconds in 64 bits: about 292 years."""


def parse_duration(text: str) -> float:
    """Return ``text`` in seconds, by the rules of Go's ``time.ParseDuration``.

    Raises:
        ValueError: it is not a duration; the message gives examples of one.

    """
    negative = text.startswith("-")
    rest = text[1:] if text[:1] in {"-", "+"} else text
    if rest == "0":
        return 0.0
    total, position = Decimal(0), 0
    while position < len(rest) <= _MAX_TEXT_CHARS:
        part = _PART.match(rest, position)
        if part is None:
            break
        total += Decimal(part[1]) * _UNITS_S[part[2]]
        position = part.end()
    if not rest or position != len(rest) or total >= _MAX_S:
        raise ValueError(
            f"{text[:_MAX_TEXT_CHARS]!r} is not a duration; write a number and a unit "
            '(ns, us, ms, s, m, h), e.g. "15s", "500ms" or "1h30m"'
        )
    return float(-total if negative else total)


def format_duration(seconds: float) -> str:
    """Return ``seconds`` as Go's ``Duration.String`` writes it: "2m0s", "1.5s", "200ms", "0s"."""
    nanoseconds = round(abs(seconds) * 10**9)
    sign = "-" if seconds < 0 and nanoseconds else ""
    if nanoseconds == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if nanoseconds < size * 1000:
            return f"{sign}{_decimal(nanoseconds, size)}{unit}"
    minutes, rest = divmod(nanoseconds, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, 10**9)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    if hours:
        text = f"{hours}h{text}"
    return sign + text


def _decimal(nanoseconds: int, size: int) -> str:
    whole, fraction = divmod(nanoseconds, size)
    if not fraction:
        return str(whole)
    digits = str(fraction).rjust(len(str(size)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}"
