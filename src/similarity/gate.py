"""The gate of a score bin: it lets a stage serve while it may be believed to be right often enough.

What is counted, by tenant, stage and score, are verdicts: those of people on what they were served,
and those on the sample that is generated anyway and compared. A bin begins as if it had been seen
to be right CREDIT times, where the evaluation on labelled data has shown it to be; by the default
bound of 1 % it is open then, and the first report closes it. Only the sample can open it again.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple, Self

from similarity.intervals import at_most, upper_bound
from similarity.policy import PPM, Stage

# The fewest of which none wrong proves, with a confidence of 95 %, that less than 1 % are.
CREDIT = 299
TAIL = 0.05
BIN_PPM = 50_000
BIN_MAX = PPM // BIN_PPM - 1

# What is the same to the letter, or but for its dress, takes no judgement that could be wrong.
GATED_STAGES = frozenset(Stage) - {Stage.EXACT, Stage.NORMALISED}
# What the evaluation has shown of each: of chats that are alike it has shown no such thing.
_CREDITS = {Stage.CHAT: 0}


class Bin(NamedTuple):
    """How often those who could tell have said that a stage was right or wrong at some score."""

    matches: int = 0
    mismatches: int = 0
    credit: int = CREDIT

    @classmethod
    def of(cls, stage: str, matches: int, mismatches: int) -> Self:
        """Return the bin of a stage, with the credit that it begins with."""
        return cls(matches, mismatches, _CREDITS.get(Stage(stage), CREDIT))

    @property
    def bound_ppm(self) -> int:
        """The share that is wrong is no larger than this, one-sided, in millionths, rounded up."""
        return _bound_ppm(self.mismatches, self.credit + self.matches + self.mismatches)

    def is_open(self, max_error_ppm: int) -> bool:
        """Say whether the stage may serve at this score."""
        total = self.credit + self.matches + self.mismatches
        if not total:
            return max_error_ppm >= PPM
        # What has been seen is a lower bound of the bound: it saves the sum of many terms.
        if self.mismatches * PPM > max_error_ppm * total:
            return False
        return at_most(self.mismatches, total, max_error_ppm / PPM) <= TAIL


def bin_of(score_ppm: int | None) -> int:
    """Return the bin of a score: a step of BIN_PPM, or 0 for a stage that has no score."""
    if score_ppm is None:
        return 0
    return min(BIN_MAX, max(0, score_ppm) // BIN_PPM)


@lru_cache(maxsize=1024)
def _bound_ppm(mismatches: int, total: int) -> int:
    return min(PPM, math.ceil(upper_bound(mismatches, total, TAIL) * PPM)) if total else PPM
