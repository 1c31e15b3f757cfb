"""One text for all prompts that say the same in the same order, for a look-up without candidates.

It is stricter than the guard: what has one signature is what the guard lets pass without slips.
"""

from __future__ import annotations

from similarity.guard import read
from similarity.words import concept

# Nobody says so much twice in other words, and each word costs a look-up.
_UNITS_MAX = 400


def signature(prompt: str) -> str:
    """Return the prompt's concepts in order; empty where the rules about words do not hold.

    That is where the prompt is not English, or very long.

    Raises:
        WordNetMissing: the dictionary is not installed.

    """
    reading = read(prompt)
    if not reading.is_english or len(reading.units) > _UNITS_MAX:
        return ""
    return " ".join(
        unit
        if at in reading.fixed or unit in reading.names or not unit.isalpha()
        else concept(unit)
        for at, unit in enumerate(reading.units)
    )
