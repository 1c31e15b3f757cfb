"""Counts and times what is done between the end of the warm-up and the end of a run."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from typing import Any

PERCENTILES = (50, 90, 99, 99.9)
_FAILURES_MAX = 5  # texts that are kept


class Meter:
    """What one load process did. Operations that end outside of the time measured do not count."""

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()
        self._latencies: dict[str, array[float]] = {}
        self._counts: Counter[str] = Counter()
        self._running = False
        self._started = 0.0
        self._seconds = 0.0

    def start(self) -> None:
        """Begin to count."""
        self._running = True
        self._started = time.perf_counter()

    def stop(self) -> None:
        """Count no more."""
        self._seconds = time.perf_counter() - self._started
        self._running = False

    def done(
        self, name: str, started: float, *, count: int = 1, ended: float | None = None
    ) -> None:
        """Note that `count` operations are done, together, since `started` of perf_counter.

        They ended now, unless it is said when.
        """
        if self._running:
            self._counts[name] += count
            if name not in self._latencies:
                self._latencies[name] = array("d")
            self._latencies[name].append((ended or time.perf_counter()) - started)

    def failed(self, error: Exception) -> None:
        """Note that an operation has failed."""
        text = f"{type(error).__name__}: {error}"[:200]
        known = text in self.failures or len(self.failures) < _FAILURES_MAX
        self.failures[text if known else "and others"] += 1

    def result(self) -> dict[str, Any]:
        """Return counts, seconds, and latencies in milliseconds."""
        return {
            "seconds": self._seconds,
            "counts": dict(self._counts),
            "latencies": {name: percentiles(list(row)) for name, row in self._latencies.items()},
            "failures": dict(self.failures),
        }


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Return percentiles by their number, in milliseconds."""
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return {
        f"p{percent:g}": round(ordered[min(int(len(ordered) * percent / 100), last)] * 1000, 4)
        for percent in PERCENTILES
    }
