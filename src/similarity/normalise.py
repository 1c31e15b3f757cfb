"""Brings prompts that ask for the same picture in other dress to one text.

Folded: case, white space, typography, most punctuation, articles, and the polite words around a
request ("Please create an image of ..."). Kept: the order of the words, numbers, commas, which tell
a chocolate cake from chocolate and cake, what stands in quotes to the letter, since it may be drawn
as text, and every word that tells a medium: an illustration of a teapot is not a teapot.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import zip_longest

# Goes into the hash of the scope: prompts normalised by other rules never meet.
NORMALISER_VERSION = 2

_SAME_CHARACTERS = {
    "'": "\u2018\u2019\u201a\u2032",
    '"': "\u201c\u201d\u201e\u00ab\u00bb\u2033",
    "-": "\u2010\u2011\u2012\u2013\u2014\u2212",
    "x": "\u00d7",
    " ": "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff",
}
_TYPOGRAPHY = str.maketrans(
    {other: plain for plain, others in _SAME_CHARACTERS.items() for other in others}
)
_INVISIBLE = str.maketrans(dict.fromkeys(_SAME_CHARACTERS.pop(" "), ""))

# 'quoted' or "quoted"; a single quote next to a letter on both sides is an apostrophe.
_QUOTED = re.compile(r"""("[^"]*"|(?<!\w)'[^']*'(?!\w))""")
# Numbers keep the marks within them (1.5, 16:9, -5), words their apostrophes. Other characters that
# are not plain punctuation count as words, and so do commas: 50 % is not 50, (cat) is not cat.
_TOKEN = re.compile(
    r"""(?<!\w)-?\d+(?:[.,:/-]\d+)*(?!\w) | [^\W_]+(?:'[^\W_]+)* | [^\w\s.;:!?…/'"-]""", re.VERBOSE
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


def normalise(prompt: str) -> str:
    """Return the text that stands for a prompt's meaning; empty if nothing is left."""
    text = unicodedata.normalize("NFC", prompt).translate(_INVISIBLE).translate(_TYPOGRAPHY)
    tokens: list[str] = []
    for index, part in enumerate(_QUOTED.split(text)):
        # What is split at a capturing group has the quoted parts at the odd places.
        tokens += [_quoted(part)] if index % 2 else _TOKEN.findall(_folded(part))
    normalised, text = " ".join(tokens), ""
    # Without its articles and commas, a text may turn out to be a request again.
    while normalised != text:
        text = normalised
        normalised = _without_fillers(_THANKS.sub("", text[_length_of_request(text) :]))
    return normalised


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


def _without_fillers(text: str) -> str:
    """Leave out articles, and commas where they tell nothing apart."""
    units = _UNIT.findall(text)
    kept: list[str] = []
    for unit, following in zip_longest(units, units[1:], fillvalue=""):
        is_article = unit in _ARTICLES and following
        is_idle = unit == "," and (not kept or not following or following in _CONJUNCTIONS)
        if not is_article and not is_idle:
            kept.append(unit)
    return " ".join(kept)
