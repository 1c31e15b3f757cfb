"""The closed classes of English words: a dictionary of meanings leaves them out."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEGATIONS = _words("""
    no not non without never none nobody nothing nowhere neither nor cannot can't don't doesn't
    didn't isn't aren't wasn't weren't won't wouldn't shouldn't couldn't hasn't haven't hadn't
    except minus sans lacking hardly barely
""")
_ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
    fifteen sixteen seventeen eighteen nineteen"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
NUMBERS = {word: str(value) for value, word in enumerate(_ONES.split())} | {
    word: str(10 * value) for value, word in enumerate(_TENS.split(), 2)
}
# twenty five, of two words; with a hyphen it is the same.
_COMPOUND_NUMBERS: dict[tuple[str, ...], str] = {
    (ten, one): str(int(NUMBERS[ten]) + int(NUMBERS[one]))
    for ten in _TENS.split()
    for one in _ONES.split()[1:10]
}
# Words that tell how many without a figure; they agree as figures do.
QUANTITIES = _words("""
    all another any both couple dozen dozens double each every few first half hundred hundreds
    last lone many million most much multiple numerous once only pair pairs quarter second several
    single solo some third thousand thousands triple twice
""")
FUNCTION_WORDS = (
    _words("""
    a about above across after against ahead along alongside although am amid among amongst an
    and anybody anyone anything are aren't around as aside at atop away back be because been before
    behind being below beneath beside besides between beyond but by can could despite did do does
    doing done down during either else ever everybody everyone everything for from front further
    had has have having he her here hers herself hi him himself his how however i if in inside
    instead into is it its itself just left less like may me might mine more must my myself near
    nearby next now of off on onto or other others ought our ours ourselves out outside over own
    past per please right round same shall she should since so somebody someone something somewhere
    such than that the their theirs them themselves then there these they this those though through
    throughout till to together too toward towards under underneath until unto up upon us very
    via was we were what whatever when where whether which while who whom whose why will with within
    would yet you your yours yourself yourselves
""")
    | QUANTITIES
)
# Nothing that has an article begins with these: what stands before them is a letter, or a word that
# is spoken of.
RELATING = _words("""
    and are as at below but by for from in into is of on onto or over to under was were with without
""")
# What follows these may be a letter, or a word that is spoken of: vitamin A, the word "the".
NAMING = _words("""
    appendix block character class exhibit gate grade group hepatitis key letter letters level logo
    model option part plan section sign symbol team type vitamin word words
""")
# What follows these may be written in the picture.
INTRODUCING = _words("""
    banner bubble bubbles card caption captioned captions called named note read reading reads said
    say saying says shout shouting sign spell spelled spelling spells text titled whisper whispering
    word words write writes writing written
""")
# Their full stop ends no sentence.
ABBREVIATIONS = _words("approx ca dr etc jr mr mrs ms mt no prof sr st vs")
# What stands for one word.
PHRASES: dict[tuple[str, ...], str] = {
    **_COMPOUND_NUMBERS,
    **{(word,): value for word, value in NUMBERS.items()},
    ("on", "top", "of"): "atop",
    ("on", "the", "top", "of"): "atop",
    ("next", "to"): "beside",
    ("inside", "of"): "inside",
    ("outside", "of"): "outside",
    ("off", "of"): "off",
    ("is", "seated"): "sitting",
    ("are", "seated"): "sitting",
    ("seated",): "sitting",
}
# Everyday nouns that the dictionary keeps apart, or has never been seen in use, and whose pictures
# are the same; by the first of them.
SAME = {
    word: group.split()[0]
    for group in (
        "airplane plane aeroplane", "bicycle bike", "child kid", "doughnut donut",
        "father dad daddy", "garbage trash rubbish", "grandfather grandpa", "grandmother grandma",
        "hippopotamus hippo", "mother mom mum mommy", "ocean sea", "pants trousers",
        "photograph photo", "rabbit bunny", "refrigerator fridge", "rhinoceros rhino", "taxi cab",
        "telephone phone", "television tv", "truck lorry", "woman lady",
    )
    for word in group.split()
}  # fmt: skip
# Words that the dictionary holds for the same as some other, and that a picture tells apart.
DISTINCT = _words("""
    babe beast beckon brow castle cattle creature dusk fashion fella foliage fuse lad
    lean lord manner metropolis minister mix mode moving palace print publish puncher queer race
    rainfall savage snowfall specter spiritual teenage vicious youngster
""")
# Small words of other languages that English prompts have, at most, in a name.
FOREIGN_WORDS = _words("""
    el los las del un una unos unas con por para que y es en su al der die das und ein eine einen
    einem einer mit auf nicht von zu im dem den für le les des du et une dans avec sur pour est
    aux au il gli di della che nel sulla e um uma com na no do da dos das os het een op van voor
    och ett på med av og af til ja na je się z w nie ve bir
""") - {"no", "do", "die", "den", "im", "e", "z", "w", "on", "an", "med", "til"}
