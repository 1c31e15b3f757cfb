"""Which prompts the cache takes for the same, and which it must not."""

from __future__ import annotations

import time

import pytest

from generations.models import Kind
from generations.requests import GenerationRequest
from generations.settings import Settings
from similarity import scope
from similarity.normalise import normalise
from similarity.stages import CachePolicy, allowed_stages

SAME = [
    ("a red cube", "A  RED\tcube!!"),
    ("the starry night", "Starry Night"),
    ("a cat in a hat", "Please create an image of a cat in a hat, thank you!"),
    ("a cat", "Can you make me a picture of a cat?"),
    ("a cat", "I would like an image showing a cat"),
    ("a cat", "generate: a cat"),
    ("a dog’s bowl — blue", "a dog's bowl - blue"),  # noqa: RUF001
    ("naïve art", "nai\u0308ve art"),
    ("ǰazz", "J\u030cazz"),
    ("a sign that says “STOP”", "sign that says 'STOP'."),
    ("a t-shirt", "t shirt"),
    ("a cat", "Please, show me an image of a picture of a cat, thank you."),
    ("a cat, a dog and a fox", "cat, dog, and fox"),
    ("a cat", ", a cat,"),
    ("soft\u00adware", "software"),
    ("a 2×2 grid", "a 2x2 grid"),  # noqa: RUF001
    ("a fox. a hen.", "a fox; a hen"),
    ("a fox, at dusk", "a fox — at dusk"),
    ("a bridge by Dr. Who", "a bridge by Dr Who"),
    ("a fox .", "a fox !"),
    ("a sign saying: 'go'", "a sign saying 'go'"),
    ("a card with a fox", "Create a card with a fox please"),
    ("a card with a fox", "a card with a fox. Thanks!"),
    ("a house in Los Angeles at the sea", "house in los angeles at sea"),
]

DIFFERENT = [
    ("a dog chasing a cat", "a cat chasing a dog"),
    ("a red cube on a blue one", "a blue cube on a red one"),
    ("a teapot", "an illustration of a teapot"),
    ("a cat", "draw a cat"),
    ("a cat", "a photo of a cat"),
    ("a cat", "no cat"),
    ("a cat", "cats"),
    ("two cats", "three cats"),
    ("-5 degrees", "5 degrees"),
    ("1.5 litres", "15 litres"),
    ("1.5 litres", "1 5 litres"),
    ("50% off", "50 off"),
    ("a sign that says 'STOP'", "a sign that says 'stop'"),
    ("a sign that says 'The End'", "a sign that says 'End'"),
    ("a (cat)", "a cat"),
    ("a chocolate cake", "a chocolate, a cake"),
    ("a sign that says 'see the cat'", "a sign that says 'see cat'"),
    ("a sign that says 'here, and there'", "a sign that says 'here and there'"),
    ("the letter a", "the letter"),
    ("show jumping", "jumping"),
    ("a cat 🐈", "a cat"),
    ("few people on a beach", "a few people on a beach"),
    (".5 litres", "5 litres"),
    ("a $.99 tag", "a $99 tag"),
    ("a 6' tree", 'a 6" tree'),
    ("a 6′ tree", "a 6″ tree"),  # noqa: RUF001
    ("a test graded A-", "a test graded A"),
    ("a battery with + and - signs", "a battery with + and signs"),
    ("a card saying thank you", "a card saying please"),
    ("Create a card that says: thank you!", "Create a card that says: please!"),
    ("a screen with :)", "a screen with ;)"),
    ("a sign with a !", "a sign with a ?"),
    ("a red ! on a wall", "a red ? on a wall"),
    ("a key with ; on it", "a key with : on it"),
    ("a sign with a / on it", "a sign with a - on it"),
    ("a logo with a -", "a logo with a ."),
    ("the letter A on a wall", "the letter on a wall"),
    ("vitamin A tablets", "vitamin tablets"),
    ("an A on a shirt", "on a shirt"),
    ("an A grade", "a grade"),
    ("the A team", "the team"),
    ("an A-frame house", "a frame house"),
    ("the word the in neon", "the word a in neon"),
    ("a man eating shark", "a man-eating shark"),
    ("a chocolate. cake on a plate", "a chocolate cake on a plate"),
    ("a cat; black dog", "a cat black; dog"),
    ("a blue - bird cage", "a blue bird - cage"),
    ("stop. children crossing", "stop children crossing"),
    ("👨\u200d👩\u200d👧 on a lawn", "👨👩👧 on a lawn"),
    ("ein Bild an der Wand", "ein Bild der Wand"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_in_other_dress(one, other):
    assert normalise(one) == normalise(other) != ""


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_not_the_same(one, other):
    assert normalise(one) != normalise(other)


@pytest.mark.parametrize("prompt", ["", "!!!", " \n\t", "…", "-"])
def test_nothing_is_left(prompt):
    assert normalise(prompt) == ""
    assert fingerprint(request(prompt=prompt), model="m", quality="q").normalised is None


def test_a_letter_that_has_no_capital_of_its_own_stays_whole():
    assert normalise("ǰazz") == "ǰazz"


def test_normalising_twice_changes_nothing():
    odd = ["' \" '", "ǰ", "show a me a cat", "a, a, please, the"]
    for prompt in [text for pair in SAME + DIFFERENT for text in pair] + odd:
        assert normalise(normalise(prompt)) == normalise(prompt)


def test_a_long_prompt_takes_no_long_time():
    normalise("please " * 5_000 + "'" * 5_000 + '"a' * 5_000)
    normalise("please, " * 5_000 + "a, " * 5_000 + "thanks" * 5_000)
    begin = time.process_time()
    for part in ("a-", "a ", "a a, ", ". ", "ab-", "5'", "\u200d", ", please"):
        normalise(part * (32_000 // len(part)))
    assert time.process_time() - begin < 10, "and none that grows with its square"


def fingerprint(request, **option):
    return scope.fingerprint(request, stages=allowed_stages(request, CachePolicy()), **option)


def request(**changes):
    fields = {
        "account": "acme/alice",
        "kind": Kind.IMAGE,
        "prompt": "a cat",
        "model": "",
        "size": "1024x1024",
        "quality": "premium",
        "count": 1,
    }
    return GenerationRequest(**(fields | changes))


@pytest.mark.parametrize("change", [{"account": "other/alice"}, {"size": "512x512"}, {"count": 2}])
def test_the_scope_keeps_requests_apart(change):
    one = fingerprint(request(), model="m", quality="q")
    other = fingerprint(request(**change), model="m", quality="q")
    assert one.scope != other.scope
    assert (one.exact, one.normalised) == (other.exact, other.normalised)


def test_the_scope_is_the_tenants_and_the_options():
    one = fingerprint(request(), model="m", quality="q")
    same = fingerprint(request(account="acme", model="m", quality="x"), model="m", quality="q")
    assert one == same
    assert one.scope != fingerprint(request(), model="m", quality="p").scope
    assert one.scope != fingerprint(request(), model="n", quality="q").scope


@pytest.mark.parametrize(
    "change",
    [
        {"kind": Kind.CHAT, "settings": Settings(temperature=0.0)},
        {"kind": Kind.CHAT},
        {"settings": Settings(seed=0)},
        {"kind": Kind.VIDEO, "settings": Settings(seed=7)},
    ],
)
def test_chat_and_what_has_a_seed_is_known_to_the_letter_only(change):
    one = fingerprint(request(**change), model="m", quality="q")
    assert one.normalised is None
    assert one == fingerprint(request(**change), model="m", quality="q")
    assert fingerprint(request(kind=Kind.VIDEO), model="m", quality="q").normalised
