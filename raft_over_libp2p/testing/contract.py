"""How a contract check fails."""

from __future__ import annotations

__all__ = ["ContractBroken"]


class ContractBroken(AssertionError):
    """Something does not do what its protocol promises; says which promise, and the difference."""
