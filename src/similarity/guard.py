"""Decides whether the picture of one prompt may be served for another.

Similar vectors only find candidates; this decides, and in doubt it objects. Prompts pass if their
words pair up one by one, in order: the same word, another form or spelling of it, a synonym, or a
slip of the fingers. Numbers, colours, negations and quoted texts have to be equal.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from similarity import words
from similarity.language import WORD_LENGTH_MAX, is_english
from similarity.normalise import normalise
from similarity.vocabulary import FUNCTION_WORDS, NEGATIONS, PHRASES, QUANTITIES, SAME

_TOKEN = re.compile(r'"[^"]*"|\S+')
# It begins where the spaces do: at each of thousands, it would read all that follow.
_CAPITAL = re.compile(r"(?<![.!?:\"'\n ])[ ]+\(?([A-Z][^\W_]*(?:'[^\W_]+)*)")
_SLIPS_MAX = 2
# How many odd words are looked at to name the rule; in long prompts there may be thousands.
_ODD_MAX = 20
_LONGEST_PHRASE = max(map(len, PHRASES))


@dataclass(frozen=True, slots=True)
class Reading:
    """A prompt as the guard sees it: `units` are its words in order, phrases as one.

    `fixed` are the places of those that say together what none says alone, as in sea lion.
    """

    text: str
    units: tuple[str, ...]
    fixed: frozenset[int]
    names: frozenset[str]
    is_english: bool


def read(prompt: str) -> Reading:
    """Read a prompt once, to be compared with many.

    Raises:
        WordNetMissing: the dictionary is not installed.

    """
    text = normalise(prompt)
    units = _units(text)
    are_words = all(len(unit) <= WORD_LENGTH_MAX or unit.startswith('"') for unit in units)
    is_read = are_words and is_english(text)
    fixed = _fixed(units) if is_read else frozenset()
    return Reading(text, units, fixed, _names(prompt), is_read)


def objection(a: Reading, b: Reading) -> str:
    """Return which rule forbids to serve one picture for both; nothing if none does.

    It is one of: language, numbers, colours, negation, quotes, names, antonyms, order, words.
    """
    if a.text == b.text:
        # What nothing is left of says nothing that could be the same.
        return "" if a.text else "words"
    if not a.is_english or not b.is_english:
        return "language"
    slips = _slips(a, b)
    if slips is not None and slips <= _SLIPS_MAX:
        return ""
    return _rule(a, b)


def _names(prompt: str) -> frozenset[str]:
    """Return the words, folded, that capitals tell for names. All in capitals tells nothing."""
    if not any(letter.islower() for letter in prompt):
        return frozenset()
    found = {word: word.casefold() for word in _CAPITAL.findall(prompt)}
    # A TV is no name.
    return frozenset(
        folded for word, folded in found.items() if not (word.isupper() and folded in SAME)
    )


def _units(text: str) -> tuple[str, ...]:
    tokens = _TOKEN.findall(text)
    units: list[str] = []
    at = 0
    while at < len(tokens):
        for length in range(_LONGEST_PHRASE, 0, -1):
            phrase = PHRASES.get(tuple(tokens[at : at + length]))
            if phrase:
                units.append(phrase)
                at += length
                break
        else:
            # A cat is sitting, and a cat sitting: these are one.
            is_helping = tokens[at] in {"is", "are"} and at + 1 < len(tokens)
            if not (is_helping and words.is_progressive(tokens[at + 1])):
                units.append(tokens[at])
            at += 1
    return tuple(units)


def _fixed(units: tuple[str, ...]) -> frozenset[int]:
    """Return the places of words that are part of a compound."""
    found: set[int] = set()
    for at in range(len(units) - 1):
        for length in (2, 3):
            phrase = units[at : at + length]
            if phrase[0].isalpha() and phrase[-1].isalpha() and words.is_compound(phrase):
                found.update(range(at, at + length))
    return frozenset(found)


def _slips(a: Reading, b: Reading) -> int | None:
    """Return how many pairs are slips, if all words pair up in order; else None."""
    one, other = a.units, b.units
    slips = i = j = 0
    while i < len(one) and j < len(other):
        x, y = one[i], other[j]
        are_names = x in a.names, y in b.names
        is_fixed = i in a.fixed or j in b.fixed
        if x == y or (not any(are_names) and _are_same(x, y, is_fixed=is_fixed)):
            i, j = i + 1, j + 1
        elif are_names[0] == are_names[1] and words.is_slip(x, y, is_name=are_names[0]):
            slips, i, j = slips + 1, i + 1, j + 1
        elif _is_joined(one[i : i + 2], y):
            i, j = i + 2, j + 1
        elif _is_joined(other[j : j + 2], x):
            i, j = i + 1, j + 2
        else:
            return None
    return slips if i == len(one) and j == len(other) else None


def _are_same(x: str, y: str, *, is_fixed: bool) -> bool:
    if not (x.isalpha() and y.isalpha()) or {x, y} & (FUNCTION_WORDS | NEGATIONS):
        return False
    if words.are_opposites(x, y):
        return False
    return (not is_fixed and words.concept(x) == words.concept(y)) or words.are_spellings(x, y)


def _is_joined(parts: tuple[str, ...], whole: str) -> bool:
    """Say whether two words are the one written apart: top hat, tophat."""
    is_plain = all(part.isalpha() and part not in FUNCTION_WORDS | NEGATIONS for part in parts)
    return is_plain and len(parts) == 2 and words.is_written_apart(parts, whole)


def _rule(a: Reading, b: Reading) -> str:
    """Name what tells two prompts apart that do not pair up."""
    names = a.names | b.names
    ours, theirs = Counter(a.units), Counter(b.units)
    mine, others = [*(ours - theirs)][:_ODD_MAX], [*(theirs - ours)][:_ODD_MAX]
    odd = mine + others
    if not odd:
        return "order"
    rules = {
        "quotes": (unit.startswith('"') for unit in odd),
        "negation": (unit in NEGATIONS for unit in odd),
        "numbers": (unit[-1].isdigit() or unit in QUANTITIES for unit in odd),
        "colours": (words.is_colour(unit) for unit in odd),
        "antonyms": (words.are_opposites(x, y) for x in mine for y in others),
        "names": (
            unit[0].isalpha() and (unit in names or not words.is_known(unit)) for unit in odd
        ),
    }
    return next((rule for rule, found in rules.items() if any(found)), "words")
