"""What a run has shown, and what many of them show together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Sample:
    """One run, or the medians of many.

    `rate` counts operations per second, over so many `seconds`. `latencies` are percentiles in
    milliseconds by operation. `processor` is microseconds per operation by part. `elsewhere` is the
    share of the machine that was busy with none of the parts.
    """

    rate: float
    seconds: float = 0.0
    latencies: dict[str, dict[str, float]] = field(default_factory=dict)
    processor: dict[str, float] = field(default_factory=dict)
    elsewhere: float = 0.0
    failures: dict[str, int] = field(default_factory=dict)

    def percentile(self, name: str) -> float:
        """Return a percentile of the slowest kind of operation, in milliseconds.

        It is not a number if nothing was done.
        """
        return max((row[name] for row in self.latencies.values()), default=math.nan)

    def encode(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def together(samples: Sequence[Sample]) -> Sample:
    """Return the medians of all that is in the samples, and all failures."""
    failures: dict[str, int] = {}
    for sample in samples:
        for text, count in sample.failures.items():
            failures[text] = failures.get(text, 0) + count
    return Sample(
        rate=median(sample.rate for sample in samples),
        seconds=median(sample.seconds for sample in samples),
        latencies={
            name: _medians(
                [sample.latencies[name] for sample in samples if name in sample.latencies]
            )
            for name in sorted({name for sample in samples for name in sample.latencies})
        },
        processor=_medians([sample.processor for sample in samples if sample.processor]),
        elsewhere=median(sample.elsewhere for sample in samples),
        failures=failures,
    )


def _medians(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the median of each field of rows that have the same fields; nothing of none."""
    return {name: median(row[name] for row in rows) for name in (rows[0] if rows else ())}
