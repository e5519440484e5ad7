"""What a checker raises."""

from __future__ import annotations

from typing import NoReturn

__all__ = ["Violation", "violated"]


class Violation(AssertionError):
    """A rule was broken; ``checker`` names the rule."""

    def __init__(self, checker: str, message: str) -> None:
        self.checker = checker
        self.message = message
        super().__init__(f"{checker}: {message}")

    def __reduce__(self) -> tuple[type[Violation], tuple[str, str]]:
        """Say how it is made anew in the process that counts."""
        return type(self), (self.checker, self.message)


def violated(checker: str, message: str) -> NoReturn:
    """Raise :class:`Violation`; a function so that hot paths hold only the comparison."""
    raise Violation(checker, message)
