"""Callers that wait for the driver: one reschedule each, no channel and no task."""

from __future__ import annotations

from typing import Generic, TypeVar

import trio

__all__ = ["Waiter"]

T = TypeVar("T")


class Waiter(Generic[T]):
    """A value one task waits for and the driver sets once; setting it again is ignored.

    A cancelled wait leaves the waiter as it is: the driver may still set it, to nobody.
    """

    __slots__ = ("_error", "_task", "_values")

    def __init__(self) -> None:
        self._values: list[T] = []
        """Empty until a value is set, then that one value."""
        self._error: Exception | None = None
        self._task: trio.lowlevel.Task | None = None

    @property
    def is_set(self) -> bool:
        return bool(self._values) or self._error is not None

    def set_value(self, value: T) -> None:
        if not self.is_set:
            self._values.append(value)
            self._wake()

    def set_error(self, error: Exception) -> None:
        if not self.is_set:
            self._error = error
            self._wake()

    def _wake(self) -> None:
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)
            self._task = None

    async def wait(self) -> T:
        """Return the value, or raise the error, that the driver sets."""
        if self.is_set:
            await trio.lowlevel.checkpoint()
        else:
            self._task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)
        if self._error is not None:
            raise self._error
        return self._values[0]

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED
