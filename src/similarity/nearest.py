"""How well an embedder finds candidates: the guard can let pass only what is put before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from similarity.intervals import interval
from similarity.normalise import normalise
from similarity.pairs import Pair
from similarity.vectors import Vector

# As many as a look-up hands to the guard.
CANDIDATE_COUNT = 5
# At a time, so that a large file does not fill the memory.
_ROWS = 64

Embed = Callable[[Sequence[str]], list[Vector]]


@dataclass(frozen=True, slots=True)
class Found:
    """Of `same` pairs, how often the one prompt is among the nearest of the other.

    The scope is all the first prompts of the file, `prompts` of them.
    """

    prompts: int
    same: int
    count: int

    def encode(self) -> dict[str, Any]:
        """Return it with its share and 95 % interval; None of nothing."""
        lower, upper = interval(self.count, self.same)
        return {
            "nearest": CANDIDATE_COUNT,
            "prompts": self.prompts,
            "same": self.same,
            "found": self.count,
            "found_rate": self.count / self.same if self.same else None,
            "found_lower": lower,
            "found_upper": upper,
        }


def find(pairs: Sequence[Pair], embed: Embed) -> Found:
    """Look for the first prompt of each pair that is the same by its second one.

    What is as near as it counts as nearer: which of them the store returns is chance.
    """
    kept = list(dict.fromkeys(text for pair in pairs if (text := normalise(pair.a))))
    places = {text: place for place, text in enumerate(kept)}
    same = [
        (places[normalise(pair.a)], asked)
        for pair in pairs
        if pair.is_same and normalise(pair.a) in places and (asked := normalise(pair.b))
    ]
    count = 0
    scope = np.stack(embed(kept)) if kept else np.empty((0, 0), np.float32)
    for start in range(0, len(same), _ROWS):
        part = same[start : start + _ROWS]
        near = np.stack(embed([asked for _, asked in part])) @ scope.T
        own = near[np.arange(len(part)), [place for place, _ in part]]
        ranks = (near >= own[:, np.newaxis]).sum(axis=1)
        count += int((ranks <= CANDIDATE_COUNT).sum())
    return Found(len(kept), len(same), count)
