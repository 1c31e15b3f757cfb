"""Tells English from the rest: the rules about words hold for English alone."""

from __future__ import annotations

import re
from itertools import islice

from similarity.vocabulary import FOREIGN_WORDS, FUNCTION_WORDS
from similarity.words import is_known

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_QUOTED = re.compile(r'"[^"]*"')
# Names and slips are no words of the dictionary; a text in which they prevail is not judged.
_KNOWN_SHARE = 0.5
# So many words tell the language of a text of any length.
_WORDS_READ = 200
# What is longer is no word, and is not asked for: answers about words are kept.
WORD_LENGTH_MAX = 50


def is_english(text: str) -> bool:
    """Say whether a normalised text is English, as far as the dictionary can tell.

    What stands in quotes may be of any language. In doubt the answer is no, which costs a hit and
    never shows a wrong picture.

    Raises:
        WordNetMissing: the dictionary is not installed.

    """
    found = _WORD.finditer(_QUOTED.sub(" ", text.casefold()))
    words = [match[0] for match in islice(found, _WORDS_READ)]
    if not words or not all(_is_latin(word) for word in words):
        return False
    foreign = sum(word in FOREIGN_WORDS for word in words)
    english = sum(word in FUNCTION_WORDS for word in words)
    if foreign and foreign >= english:
        return False
    known = sum(len(word) <= WORD_LENGTH_MAX and is_known(word) for word in words)
    return known >= _KNOWN_SHARE * len(words)


def _is_latin(word: str) -> bool:
    # Latin letters, with their accents, end at U+024F.
    return all(letter <= "\u024f" or letter == "'" for letter in word)
