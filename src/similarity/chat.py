"""The chat tier: what the guard would let pass but for its words, if a sentence is near enough.

It is the least sure of all stages, for chats alone and off by default: vectors do not tell a thing
from one like it. Numbers, colours, negation, quotes, names and opposites have to agree all the
same, and what both prompts have has to come in the same order.
"""

from __future__ import annotations

from similarity.guard import Reading, objection

COSINE_MIN = 0.95
# One word of many hardly moves the mean of them all: of longer prompts a vector says too little.
UNITS_MAX = 40


def chat_objection(a: Reading, b: Reading, cosine: float) -> str:
    """Return why the answer to one prompt must not be given to the other; nothing if it may.

    It is one of the guard's rules but `words`, or: length, distance.
    """
    found = objection(a, b)
    if found not in ("", "words"):
        return found
    if found and max(len(a.units), len(b.units)) > UNITS_MAX:
        return "length"
    shared = set(a.units) & set(b.units)
    if [unit for unit in a.units if unit in shared] != [unit for unit in b.units if unit in shared]:
        return "order"
    return "" if cosine >= COSINE_MIN else "distance"
