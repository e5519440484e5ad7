"""What can be wrong with bytes that should be a pin, an operation or a pinset."""

from __future__ import annotations

__all__ = ["MalformedOperation", "MalformedPin", "MalformedSnapshot", "UnstorablePin"]


class MalformedPin(ValueError):
    """Bytes or JSON that do not decode as a pin."""


class MalformedOperation(ValueError):
    """A log entry that does not decode as an operation on the pinset."""


class MalformedSnapshot(ValueError):
    """Bytes that are not the records of a pinset; nothing of them was taken."""


class UnstorablePin(ValueError):
    """A pin that a log entry can hold and a state cannot, such as one with a name not in UTF-8.

    Go's peers mark their state inconsistent when they meet one.
    """
