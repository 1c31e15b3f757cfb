"""The hot store's clock, carried on between answers by this process's monotonic clock."""

from __future__ import annotations

import time


class HotClock:
    """Unix time in milliseconds as the hot store last said it, plus what has passed since.

    It only chooses windows and finds what is due; scripts read the store's own clock and answer
    where this one was wrong. `offset_ms` moves both, in tests.
    """

    def __init__(self, *, offset_ms: int = 0) -> None:
        self.offset_ms = offset_ms
        # This machine's own time stands in until the store has answered.
        self.synchronise(time.time_ns() // 1_000_000)

    def synchronise(self, store_ms: int) -> None:
        """Take over the store's TIME."""
        self._base_ms = store_ms
        self._base_monotonic = time.monotonic()

    def now_ms(self) -> int:
        """Return the Unix time in milliseconds."""
        passed = int((time.monotonic() - self._base_monotonic) * 1000)
        return self._base_ms + passed + self.offset_ms

    def observe(self, now_ms: int) -> None:
        """Take over the time of a script's answer, which has the offset in it."""
        self.synchronise(now_ms - self.offset_ms)
