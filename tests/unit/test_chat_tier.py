"""The chat tier: near vectors serve no prompt that the guard would not let pass but for words."""

from __future__ import annotations

import pytest

from similarity.chat import COSINE_MIN, UNITS_MAX, chat_objection
from similarity.guard import read

ASKED = "which exercises help the lower back of people who sit at a desk"


@pytest.mark.parametrize(
    ("one", "other", "objection"),
    [
        (ASKED, ASKED.replace("which", "what"), ""),
        (ASKED, f"tell me {ASKED}", ""),
        ("what to wear on a hot day", "what to wear on a cold day", "antonyms"),
        ("how do I bake 2 loaves", "how do I bake 3 loaves", "numbers"),
        ("is a dog allowed here", "is no dog allowed here", "negation"),
        ("what does a red light mean", "what does a green light mean", "colours"),
        ("when does a dog chase a cat", "when does a cat hunt a dog", "order"),
        ("wie alt wird der Eiffelturm heute", "wie hoch wird der Eiffelturm heute", "language"),
    ],
)
def test_what_it_lets_pass(one, other, objection):
    assert chat_objection(read(one), read(other), 0.99) == objection
    assert chat_objection(read(other), read(one), 0.99) == objection


def test_what_is_far_does_not_pass():
    one, other = read(ASKED), read(ASKED.replace("which", "what"))
    assert chat_objection(one, other, COSINE_MIN) == ""
    assert chat_objection(one, other, COSINE_MIN - 0.001) == "distance"
    assert chat_objection(one, one, 0.1) == "distance"


def test_of_a_long_prompt_a_vector_says_too_little():
    long = "tell me " + "and then again " * UNITS_MAX + "which exercises help"
    assert chat_objection(read(long), read(long.replace("which", "what")), 0.999) == "length"
    assert chat_objection(read(long), read(long.upper()), 0.999) == ""
