"""How much of what was paid could not have been had for less without loss."""

from __future__ import annotations

from typing import NamedTuple

PPM = 1_000_000
FORMULA = (
    "score = (paid - failures - duplicates - dearer + saved_by_cache) / (paid + saved_by_cache)"
)


class Efficiency(NamedTuple):
    """The parts of the score, micros of USD, none of them twice.

    `failures` is what was paid for attempts that brought nothing, `duplicates` what was made again,
    `dearer` what cheaper models of the same class would have saved of the rest. A smaller size or a
    lower quality is a matter of taste, and is not in it.
    """

    paid: int
    saved_by_cache: int
    failures: int
    duplicates: int
    dearer: int

    @property
    def score_ppm(self) -> int | None:
        """Return the score in millionths, rounded down; None where nothing was paid or saved."""
        whole = self.paid + self.saved_by_cache
        if whole <= 0:
            return None
        lost = self.failures + self.duplicates + self.dearer
        return max(whole - lost, 0) * PPM // whole
