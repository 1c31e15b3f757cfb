"""What may stop the work on a generation from outside: that it is cancelled, or its deadline."""

from __future__ import annotations

import asyncio
from enum import StrEnum


class Stop(StrEnum):
    """Why nothing more is to be begun for a generation."""

    CANCELLED = "cancelled"
    DEADLINE = "deadline_exceeded"


class Steering:
    """Of one claim. `deadline` is by the event loop's clock, which nobody sets back."""

    def __init__(self, deadline: float | None = None) -> None:
        self.deadline = deadline
        self._cancelled = asyncio.Event()

    def cancel(self) -> None:
        """Say that its cancelling was asked for."""
        self._cancelled.set()

    @property
    def stop(self) -> Stop | None:
        """Return why to stop, if there is a reason by now."""
        if self._cancelled.is_set():
            return Stop.CANCELLED
        return Stop.DEADLINE if self.is_overdue else None

    @property
    def is_overdue(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and asyncio.get_running_loop().time() >= self.deadline

    async def stopped(self) -> Stop:
        """Wait for a reason to stop."""
        try:
            async with asyncio.timeout_at(self.deadline):
                await self._cancelled.wait()
        except TimeoutError:
            return Stop.DEADLINE
        return Stop.CANCELLED
