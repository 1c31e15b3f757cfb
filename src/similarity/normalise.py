"""Brings prompts that ask for the same picture in other dress to one text.

Folded: case, white space, typography, most punctuation, articles, and the polite words around a
request ("Please create an image of ..."). Kept: the order of the words, numbers, commas and what
parts a text as they do, which tell a chocolate cake from chocolate and cake, what stands in quotes
to the letter, since it may be drawn as text, and every word that tells a medium: an illustration of
a teapot is not a teapot.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterator

from similarity.vocabulary import (
    ABBREVIATIONS,
    FOREIGN_WORDS,
    FUNCTION_WORDS,
    INTRODUCING,
    NAMING,
    RELATING,
)

# Goes into the hash of the scope: prompts normalised by other rules never meet.
NORMALISER_VERSION = 3

_SAME_CHARACTERS = {
    "'": "\u2018\u2019\u201a\u2032",
    '"': "\u201c\u201d\u201e\u00ab\u00bb\u2033",
    "-": "\u2010\u2011\u2012\u2013\u2212",
    "x": "\u00d7",
    " ": "\u00ad\u200b\u200c\u200e\u200f\u2060\ufeff",
}
_TYPOGRAPHY = str.maketrans(
    {other: plain for plain, others in _SAME_CHARACTERS.items() for other in others}
)
_INVISIBLE = str.maketrans(dict.fromkeys(_SAME_CHARACTERS.pop(" "), "")) | {0x2014: " - "}
# Between two pictures it makes one of them: a family is not three people.
_IDLE_JOINER = re.compile(r"(?<=\w)\u200d|\u200d(?=\w)")

# 'quoted' or "quoted"; a single quote next to a letter on both sides is an apostrophe.
_QUOTED = re.compile(r"""("[^"]*"|(?<!\w)'[^']*'(?!\w))""")
# Numbers keep the marks within them (1.5, .5, 16:9, -5) and feet and inches (6'1"), grades theirs
# (A-), words their apostrophes, and what is eaten the hyphen to who eats it. Other characters that
# are not plain punctuation count as words, and so do commas: 50 % is not 50, (cat) is not cat.
_TOKEN = re.compile(
    r"""[:;]-?[()](?!\w)
    | (?<![\w.])-?\.?\d+(?:[.,:/'-]\d+)*(?:['"](?![^\W\d_]))?(?!\w)
    | (?<![\w'])[^\W\d_][+-](?![\w+-])
    | (?<!\w)(?:[^\W\d_]+-[^\W\d_]+ing|a-[^\W\d_]+)(?!\w)
    | [^\W_]+(?:'[^\W_]+)*
    | (?P<mark>[.;:!?…/-]+)
    | [^\w\s.;:!?…/'"-]""",
    re.VERBOSE,
)
_REQUEST = re.compile(
    r"""(?:please[ ])?
    (?:(?:can|could|would|will)[ ]you[ ](?:please[ ])?
      | i(?:'d|[ ]would)[ ]like[ ](?:you[ ]to[ ])?
      | i[ ](?:want|need)[ ](?:you[ ]to[ ])? )?
    (?: (?:(?:generate|create|produce|make|show|give)[ ](?:(?:me|us)[ ])?)?
        (?:an?[ ]|the[ ]|one[ ])?(?:image|picture)[ ](?:of|showing)[ ]
      | (?:generate|create|produce|make|show)[ ](?:me|us)[ ]
      | (?:create|produce)[ ](?=(?:an?|the)[ ])
      | generate[ ]
      | (?<=please[ ]) )
    (?:,[ ])*""",
    re.VERBOSE,
)
_THANKS = re.compile(r"(?: please| thanks| thank you)+$")
# What is in quotes holds blanks.
_UNIT = re.compile(r'"[^"]*"|[^ ]+')
_ARTICLES = frozenset({"a", "an", "the"})
# A comma says nothing here.
_CONJUNCTIONS = frozenset({",", "and", "or"})
# After these a mark that stands alone at the end is meant: a sign with a !
_SHOWN_AFTER = _ARTICLES | {"with"}
_SPOKEN_OF_AFTER = _SHOWN_AFTER | RELATING | NAMING
# These part a text, as commas do. Others join words.
_PARTING = frozenset(".;:!?…")
_IDLE_AT_END = string.whitespace + ".;:!?…/-'\""
# Alone between words, these are what is to be seen. The rest is there carelessly.
_SIGNS = frozenset("!?;:/")


def normalise(prompt: str) -> str:
    """Return the text that stands for a prompt's meaning; empty if nothing is left."""
    text = _IDLE_JOINER.sub("", unicodedata.normalize("NFC", prompt).translate(_INVISIBLE))
    tokens: list[str] = []
    for index, part in enumerate(_QUOTED.split(text.translate(_TYPOGRAPHY))):
        # What is split at a capturing group has the quoted parts at the odd places.
        tokens += [_quoted(part)] if index % 2 else _tokens(_folded(part))
    keeps_articles = _is_foreign(tokens)
    normalised, text, is_request = " ".join(tokens), "", False
    # Without its articles and commas, a text may turn out to be a request again.
    while normalised != text:
        text = normalised
        length = _length_of_request(text)
        is_request = is_request or length > 0
        asked = _without_thanks(text[length:], is_request=is_request)
        normalised = _without_fillers(asked, keeps_articles=keeps_articles)
    return normalised


def _tokens(text: str) -> Iterator[str]:
    before, length = "", len(text.rstrip(_IDLE_AT_END))
    for found in _TOKEN.finditer(text):
        token = found[0]
        if found["mark"]:
            token = _mark(found, before, is_last=found.end() >= length)
        if token:
            yield token
            before = token


def _mark(found: re.Match[str], before: str, *, is_last: bool) -> str:
    """Return what stands for a mark: itself, if it is to be seen, a comma, or nothing."""
    mark, (start, end) = found[0], found.span()
    is_blank_after = not found.string[end : end + 1].strip()
    is_apart = is_blank_after and not found.string[start - 1 : start].strip()
    is_sign = before in _SPOKEN_OF_AFTER or (before[-1:].isalnum() and _SIGNS.issuperset(mark))
    if is_apart and (before in _SHOWN_AFTER if is_last else is_sign):
        return "..." if mark == "…" else mark
    if mark == "." and not is_apart and (before in ABBREVIATIONS or len(before) == 1):
        return ""
    parts = not _PARTING.isdisjoint(mark) and (is_blank_after or mark.strip(".…/-"))
    return "," if parts or (is_apart and mark.startswith("-")) else ""


def _is_foreign(tokens: list[str]) -> bool:
    """Say whether what looks like an article may be a word of another language."""
    foreign = sum(token in FOREIGN_WORDS for token in tokens)
    return foreign > 0 and foreign >= sum(token in FUNCTION_WORDS for token in tokens)


def _quoted(part: str) -> str:
    inner = part[1:-1].replace('"', "'")
    return f'"{inner}"'


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text.casefold())


def _length_of_request(text: str) -> int:
    # What is asked for may look like a request itself: an image of a picture of a cat.
    length = 0
    while (found := _REQUEST.match(text, length)) and found.end() > length:
        length = found.end()
    return length


def _without_thanks(text: str, *, is_request: bool) -> str:
    """Leave out thanks, unless they may be what is written in the picture."""
    found = _THANKS.search(text)
    if not found:
        return text
    before = text[: found.start()]
    word = before.rstrip(" ,").rpartition(" ")[2]
    is_apart = is_request or before.endswith(" ,") or not before
    return before if is_apart and word not in INTRODUCING | RELATING else text


def _without_fillers(text: str, *, keeps_articles: bool) -> str:
    """Leave out articles, and commas where they tell nothing apart."""
    units = _UNIT.findall(text)
    kept: list[str] = []
    for before, unit, following in zip(["", *units], units, [*units[1:], ""], strict=False):
        is_article = unit in _ARTICLES and not keeps_articles and _is_idle(before, following)
        is_idle = unit == "," and (not kept or not following or following in _CONJUNCTIONS)
        if not is_article and not is_idle and not (unit == "," and following.startswith('"')):
            kept.append(unit)
    return " ".join(kept)


def _is_idle(before: str, following: str) -> bool:
    """Say whether an article tells nothing. It may be a letter, and few may be a few."""
    is_word = following[-1:].isalnum() or following[:1] == '"' or following[:1] > "\x7f"
    is_spoken_of = before in NAMING | _ARTICLES or following in RELATING | _ARTICLES
    return is_word and not is_spoken_of and following != "few"
