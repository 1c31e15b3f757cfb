"""What the guard and the signature know about single English words.

Synonyms are judged by how words are really used: two words are one concept if the meaning that
each of them mostly has in texts is the same one. That a word can mean the same somewhere is not
enough: a bike may be a motorcycle, and a plane a tool. Words that the counted texts never had are
trusted with no synonym but another spelling of themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache

from similarity import wordnet
from similarity.vocabulary import DISTINCT, FUNCTION_WORDS, NEGATIONS, NUMBERS, SAME
from similarity.wordnet import PartOfSpeech, Sense

_WORDS_KEPT = 1 << 15
# How much of a word's use a part of speech, and then a meaning, must have to stand for the word.
_PART_SHARE = 0.75
_MEANING_SHARE = 0.6
# How much of it must be as a verb, for its forms to be taken for forms of the verb.
_VERB_SHARE = 0.9
# How often the meaning must have been seen, for its share to say something.
_MEANING_COUNT_MIN = 3
# Endings that rules put on base forms: (part, ending, what the base ends in, form).
_ENDINGS: tuple[tuple[PartOfSpeech, str, str, str], ...] = (
    ("n", "s", "", "plural"), ("n", "ses", "s", "plural"), ("n", "xes", "x", "plural"),
    ("n", "zes", "z", "plural"), ("n", "ches", "ch", "plural"), ("n", "shes", "sh", "plural"),
    ("n", "men", "man", "plural"), ("n", "ies", "y", "plural"),
    ("v", "s", "", "present"), ("v", "ies", "y", "present"), ("v", "es", "e", "present"),
    ("v", "es", "", "present"), ("v", "ing", "e", "present"), ("v", "ing", "", "present"),
    ("v", "ed", "e", "past"), ("v", "ed", "", "past"),
    ("a", "er", "", "more"), ("a", "er", "e", "more"),
    ("a", "est", "", "most"), ("a", "est", "e", "most"),
)  # fmt: skip
# What British and American spelling, and careless ones, differ in.
_SPELLINGS = tuple(
    (re.compile(pattern), plain)
    for pattern, plain in (
        ("^aero", "air"), ("^gre", "gra"), ("^pyj", "paj"), ("plough", "plow"), ("ugh", ""),
        ("lery$", "lry"), ("oust", "ust"), ("[ao]e", "e"), ("ou", "o"), ("re$", "er"),
        ("amme$", "am"), ("ogue$", "og"), ("(?:que|ck)$", "k"), ("ph", "f"), ("z", "s"),
        ("ce$", "se"), ("sc", "sk"), ("ey$", "y"), ("y", "i"), (r"(.)\1", r"\1"),
    )
)  # fmt: skip
_HISSING = ("s", "x", "z", "ch", "sh", "o")
# A short vowel and a consonant: stripped is of strip, and striped of stripe.
_DOUBLING = re.compile("[^aeiouy]*(?:qu)?[aeiou][^aeiouwxy]")
# In shorter words, a letter more or less makes another word too easily.
_LONG_WORD = 6
# WordNet's files of animals, artifacts, bodies, food, natural objects, persons and plants.
_VISIBLE = frozenset({5, 6, 8, 13, 17, 18, 20})
_LIVING_OR_FOOD = frozenset({5, 13, 18, 20})
_COLOUR_ROOTS = ("chromatic_color", "achromatic_color")


@dataclass(frozen=True, slots=True)
class Use:
    """One way to take a word: the base form it is of, as which part of speech, in which form."""

    part: PartOfSpeech
    base: str
    form: str
    senses: tuple[Sense, ...]

    @property
    def count(self) -> int:
        """Say how often texts used the base form as this part of speech."""
        return sum(sense.count for sense in self.senses)


@lru_cache(_WORDS_KEPT)
def uses(word: str) -> tuple[Use, ...]:
    """Return all the ways to take a word; none if the dictionary does not know it."""
    found: dict[tuple[PartOfSpeech, str], Use] = {}

    def add(part: PartOfSpeech, base: str, form: str) -> None:
        senses = tuple(sense for sense in wordnet.senses(base) if sense.part == part)
        if senses:
            found.setdefault((part, base), Use(part, base, form, senses))

    for part in wordnet.PARTS:
        add(part, word, "present" if part == "v" else "")
        for base in wordnet.exceptions(part).get(word, ()):
            add(part, base, _form_of_exception(part, word))
    for part, ending, base_ending, form in _ENDINGS:
        stem = word.removesuffix(ending)
        if stem != word and len(stem) > 1 and not _is_misformed(stem, ending, base_ending):
            add(part, stem + base_ending, form)
    return tuple(found.values())


def _is_misformed(stem: str, ending: str, base_ending: str) -> bool:
    """Say whether a verb's form is written otherwise: striped is not of strip, nor seed of see."""
    if ending == "es" and not base_ending:
        return not stem.endswith(_HISSING)
    if ending not in {"ed", "ing"}:
        return False
    if not base_ending:
        return _DOUBLING.fullmatch(stem) is not None
    return ending == "ed" and stem.endswith("e") and f"{stem}e" in _irregular()


@cache
def _irregular() -> frozenset[str]:
    """Return the verbs with forms of their own."""
    return frozenset(base for bases in wordnet.exceptions("v").values() for base in bases)


@lru_cache(_WORDS_KEPT)
def is_known(word: str) -> bool:
    """Say whether a word is English, and so no typing error."""
    plain = word.removesuffix("'s")
    return (
        plain in FUNCTION_WORDS
        or plain in NEGATIONS
        or plain in NUMBERS
        or bool(uses(plain))
        or _has_noun(plain)
    )


def _has_noun(word: str) -> bool:
    """Say whether this tells of someone who has what a noun says: a caped man, a maned lion."""
    bases = {word.removesuffix("d"), word.removesuffix("ed")} - {word}
    return word.endswith("ed") and any(use.part == "n" for base in bases for use in uses(base))


@lru_cache(_WORDS_KEPT)
def concept(word: str) -> str:
    """Return what the word mostly means: one text for all words and forms that mean the same.

    A word that has no prevailing meaning, or was never counted, stands for itself alone.
    """
    if word in FUNCTION_WORDS or word in NUMBERS or is_colour(word):
        return word
    for noun in uses(word):
        if noun.part == "n" and noun.base in SAME:
            return f"n:{SAME[noun.base]}:{noun.form}"
    use, share = _main_use(word)
    if use is None or share < _PART_SHARE:
        return word
    first = use.senses[0]
    is_clear = first.count >= max(_MEANING_COUNT_MIN, _MEANING_SHARE * use.count)
    is_clear = is_clear and not (use.part == "n" and _is_of_two_kinds(use))
    meaning = first.offset if is_clear and use.base not in DISTINCT else use.base
    form = use.form
    if form == "present" and (share < _VERB_SHARE or _is_living_or_food(word, use.base)):
        # It may be a noun here: a duck is not ducking.
        form = "ing" if word.endswith("ing") else "base" if word == use.base else "s"
    return f"{use.part}:{meaning}:{form}"


def _is_of_two_kinds(noun: Use) -> bool:
    """Say whether a noun is for things of two visible kinds: a pupil learns, or is in an eye."""
    return len({sense.field for sense in noun.senses} & _VISIBLE) > 1


def _is_living_or_food(word: str, verb: str) -> bool:
    """Say whether they can be seen: a bear is not bearing, nor fries frying, nor leaves leaving."""
    return any(
        sense.field in _LIVING_OR_FOOD
        for use in (*uses(word), *uses(verb))
        if use.part == "n" and (use.base == verb or use.form == "plural")
        for sense in use.senses
    )


def _main_use(word: str) -> tuple[Use | None, float]:
    """Return how the word is mostly used, and which share of its uses that is."""
    by_part: dict[PartOfSpeech, Use] = {}
    for use in uses(word):
        # Woods are woods, more often than several of wood.
        if use.part not in by_part or use.count > by_part[use.part].count:
            by_part[use.part] = use
    total = sum(use.count for use in by_part.values())
    if not total:
        return None, 0.0
    main = max(by_part.values(), key=lambda use: use.count)
    return main, main.count / total


@lru_cache(_WORDS_KEPT)
def is_colour(word: str) -> bool:
    """Say whether the word can name a colour: a shade is not to be had for another."""
    reached = [sense.offset for use in uses(word) if use.part == "n" for sense in use.senses]
    for _ in range(6):  # no shade lies deeper below its root
        if not _colour_roots().isdisjoint(reached):
            return True
        reached = [
            target
            for offset in reached
            for symbol, _, target in wordnet.synset("n", offset).pointers
            if symbol == "@"
        ]
    return False


@lru_cache(_WORDS_KEPT)
def are_opposites(one: str, other: str) -> bool:
    """Say whether the dictionary has these two, in any of their forms, as antonyms."""
    return _has_opposite(one, other) or _has_opposite(other, one)


@lru_cache(_WORDS_KEPT)
def are_spellings(one: str, other: str) -> bool:
    """Say whether these are two spellings of one word: colour, color; traveller, traveler.

    What the more used of them mostly means, the other has to mean as well: chilly is no chili.
    """
    if {one, other} & DISTINCT or _respelled(one) != _respelled(other):
        return False
    if len(one) >= _LONG_WORD and _plain(one) == _plain(other):
        return not _meanings(one).isdisjoint(_meanings(other))
    return _means_mostly(one, other) and _means_mostly(other, one)


def _means_mostly(one: str, other: str) -> bool:
    main = max(uses(one), key=lambda use: use.count, default=None)
    if main is None:
        return False
    if main.count < max((use.count for use in uses(other)), default=0):
        # The rarer spelling was hardly counted; it need not be the same part of speech.
        return not _meanings(one).isdisjoint(_meanings(other))
    return (main.form, main.part, main.senses[0].offset) in _meanings(other)


@lru_cache(_WORDS_KEPT)
def is_compound(phrase: tuple[str, ...]) -> bool:
    """Say whether the dictionary has these words as one: sea lion, mother of pearl, ladybug."""
    *firsts, last = phrase
    lasts = {last, *(use.base for use in uses(last) if use.part == "n")}
    return any(
        wordnet.senses(sign.join((*firsts, end))) for end in lasts for sign in ("_", "-", "")
    )


@lru_cache(_WORDS_KEPT)
def is_written_apart(parts: tuple[str, ...], whole: str) -> bool:
    """Say whether words are the one written apart: top hat, tophat; no green house, greenhouse."""
    if "".join(parts) != whole:
        return False
    apart = {sense.offset for sense in wordnet.senses("_".join(parts))}
    together = {sense.offset for sense in wordnet.senses(whole)}
    return bool(apart & together) if together else bool(apart)


@lru_cache(_WORDS_KEPT)
def is_progressive(word: str) -> bool:
    """Say whether a word says what is being done: sitting, and not king; a slip in it is one."""
    if not is_known(word):
        return sorted(word[-3:]) == ["g", "i", "n"]
    return word.endswith("ing") and any(use.part == "v" and use.base != word for use in uses(word))


def is_slip(one: str, other: str, *, is_name: bool = False) -> bool:
    """Say whether one of these is the other with a slip of the fingers.

    Two letters inside it are swapped, or one is left out or doubled, which in a name makes another
    name. A slip makes no word: two words of the dictionary are never taken for one.
    """
    if one.endswith("'s") and other.endswith("'s"):
        one, other = one[:-2], other[:-2]
    if min(len(one), len(other)) < 5 or one[0] != other[0] or not (one + other).isalpha():
        return False
    if is_known(one) and is_known(other):
        return False
    if len(one) == len(other):
        return _is_swap(one, other, is_name=is_name)
    return not is_name and _is_left_out(*sorted((one, other), key=len))


def _is_swap(one: str, other: str, *, is_name: bool) -> bool:
    at = [i for i, (x, y) in enumerate(zip(one, other, strict=True)) if x != y]
    is_swap = (
        len(at) == 2 and at[1] == at[0] + 1
        and one[at[0]] == other[at[1]] and one[at[1]] == other[at[0]]
    )  # fmt: skip
    # Brian and Brain, Christian and Christina are names; long ones do not differ so inside.
    is_inside = len(one) >= _LONG_WORD and at[-1] < len(one) - 1
    return is_swap and (not is_name or is_inside or _is_name(one) or _is_name(other))


def _is_left_out(short: str, long: str) -> bool:
    if len(long) != len(short) + 1 or len(long) < _LONG_WORD:
        return False
    if not is_known(short) and not is_known(long):
        return False
    if short.endswith("r") and long == f"{short[:-1]}er":
        return False  # so names are made of words: tumblr
    return any(long[:at] + long[at + 1 :] == short for at in range(1, len(long) - 1))


def _is_name(word: str) -> bool:
    """Say whether the dictionary has the word as a name, and as nothing else: Lisbon, not brain."""
    own = uses(word)
    return bool(own) and all(
        any(symbol == "@i" for symbol, _, _ in wordnet.synset(use.part, sense.offset).pointers)
        for use in own
        for sense in use.senses
    )


def _plain(word: str) -> str:
    """Return what British and American spelling have in common where rules tell them apart."""
    for british, american in (("our", "or"), ("ae", "e"), ("oe", "e"), ("ll", "l"), ("z", "s")):
        word = word.replace(british, american)
    return word


def _respelled(word: str) -> str:
    for pattern, plain in _SPELLINGS:
        word = pattern.sub(plain, word)
    return word


def _meanings(word: str) -> set[tuple[str, str, int]]:
    return {(use.form, use.part, sense.offset) for use in uses(word) for sense in use.senses}


def _has_opposite(one: str, other: str) -> bool:
    bases = {use.base for use in uses(other)}
    for use in uses(one):
        for sense in use.senses:
            for own, part, offset, number in wordnet.synset(use.part, sense.offset).opposites:
                target = wordnet.synset(_part(part), offset).words[number - 1]
                if own == use.base and target in bases:
                    return True
    return False


def _form_of_exception(part: PartOfSpeech, word: str) -> str:
    if part == "n":
        return "plural"
    if part == "v":
        if word.endswith(("ing", "s")):
            return "present"
        # Who is shaken is not who shook, and what is ringed is not rung.
        if word.endswith("n"):
            return "participle"
        return "past" if word.endswith(("d", "t")) else "strong"
    return "most" if word.endswith("est") else "more"


def _part(part: str) -> PartOfSpeech:
    return "a" if part == "s" else part  # type: ignore[return-value]


@cache
def _colour_roots() -> frozenset[int]:
    return frozenset(wordnet.senses(root)[0].offset for root in _COLOUR_ROOTS)
