"""Contexts: what is never taken for the same, whatever the weights, and how matches are found."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caching import DISH
from generations.violations import InvalidRequest
from similarity.documents import Document
from similarity.structured import (
    RECIPE,
    Field,
    Mode,
    StructuredPolicy,
    compare,
    probe,
    read_context,
)

names = st.sampled_from(["dish", "style", "light", "mood"])
words = st.sampled_from(["rice", "Rice ", "beans", "clams", "saffron", "corn"])
contexts = st.dictionaries(names, st.lists(words, max_size=4).map(tuple), max_size=4)
modes = st.sampled_from(Mode)


def made(name, weight, mode, bound_ppm):
    weight = 0 if mode is Mode.IGNORE else weight
    return Field(name, weight, mode, bound_ppm if mode is Mode.JACCARD else 0)


@st.composite
def policies(draw):
    chosen = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    fields = [
        made(name, draw(st.integers(1, 100)), draw(modes), draw(st.integers(1, 1_000_000)))
        for name in chosen
    ]
    fields[0] = Field(fields[0].name, draw(st.integers(1, 100)), Mode.REQUIRED)
    return StructuredPolicy(tuple(fields), draw(st.integers(1, 1_000_000)))


def plain(context, name):
    return {value.strip().casefold() for value in context.get(name, ())}


@given(policies(), contexts, contexts)
def test_what_passes_has_all_that_it_must(policy, one, other):
    score = compare(policy, one, other)
    assert score == compare(policy, other, one)
    if score is None:
        return
    assert policy.threshold_ppm <= score <= 1_000_000
    reached, total = Fraction(0), 0
    named = {field.name for field in policy.fields}
    for name in (one.keys() | other.keys()) - named:
        assert plain(one, name) == plain(other, name)
    for field in policy.fields:
        ours, theirs = plain(one, field.name), plain(other, field.name)
        if field.mode is Mode.IGNORE:
            continue
        assert ours & theirs, "nothing in common is never enough"
        common = Fraction(len(ours & theirs), len(ours | theirs))
        assert common * 1_000_000 >= (field.bound_ppm if field.mode is Mode.JACCARD else 1_000_000)
        reached, total = reached + field.weight * common, total + field.weight
    assert reached * 1_000_000 >= policy.threshold_ppm * total


@given(policies(), contexts, contexts)
def test_what_matches_is_found_by_its_hash(policy, one, other):
    if compare(policy, one, other) is not None:
        assert probe(policy, one) == probe(policy, other) is not None


@given(policies(), contexts)
def test_a_context_matches_itself_if_it_has_what_counts(policy, context):
    counted = [field for field in policy.fields if field.mode is not Mode.IGNORE]
    expected = 1_000_000 if all(plain(context, field.name) for field in counted) else None
    assert compare(policy, context, context) == expected


@given(policies())
def test_a_policy_goes_through_json(policy):
    document = Document.of(policy.encode(), "policy")
    assert StructuredPolicy.read(document) == policy
    assert not document.violations


ingredients = st.lists(st.text("abcdef", min_size=1, max_size=2), min_size=0, max_size=6)


@given(ingredients, ingredients)
def test_recipes_that_share_no_ingredient_never_pass(one, other):
    other = [value for value in other if value not in one]
    found = compare(RECIPE, DISH | {"ingredients": (*one,)}, DISH | {"ingredients": (*other,)})
    assert found is None


def test_a_sum_of_weights_alone_would_have_passed_them():
    others = DISH | {"ingredients": ("pasta", "clams")}
    assert compare(RECIPE, DISH, others) is None
    half = DISH | {"ingredients": ("rice", "saffron")}
    assert compare(RECIPE, DISH, half) == 900_000
    assert compare(RECIPE, DISH, DISH) == 1_000_000
    assert compare(RECIPE, DISH, half | {"course": ("starter",)}) is None
    assert compare(RECIPE, DISH, half | {"diet": ("vegan",)}) is None


def test_the_threshold_is_exact():
    """As floats these weights make 0.7999999999999999 of 0.9999999999999999."""
    fields = (Field("dish", 40, Mode.REQUIRED), Field("style", 60, Mode.JACCARD, 1))
    one = {"dish": ("rice",), "style": ("a", "b", "c")}
    two_thirds = one | {"style": ("a", "b")}
    assert compare(StructuredPolicy(fields, 800_000), one, two_thirds) == 800_000
    assert compare(StructuredPolicy(fields, 800_001), one, two_thirds) is None


def test_order_and_dress_of_values_mean_nothing():
    dressed = DISH | {"ingredients": ("ONION ", "butter", "saffron", " rice", "rice")}
    assert compare(RECIPE, DISH, dressed) == 1_000_000
    assert probe(RECIPE, DISH) == probe(RECIPE, dressed | {"cuisine": ("ITALIAN",)})


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ([], "context"),
        ({str(n): "x" for n in range(17)}, "context"),
        ({"dish": 7}, "context.dish"),
        ({"dish": ["x"] * 51}, "context.dish"),
        ({"dish": ["x" * 201]}, "context.dish"),
        ({"dish": [" "]}, "context.dish"),
        ({"dish": ["a\nb"]}, "context.dish"),
        ({"": "x"}, "context."),
    ],
)
def test_a_bad_context_is_refused_by_field(value, field):
    with pytest.raises(InvalidRequest) as refused:
        read_context(value)
    assert [violation.field for violation in refused.value.violations] == [field]


def test_a_context_is_read():
    assert read_context({"dish": "risotto", "ingredients": ["rice"]}) == {
        "dish": ("risotto",),
        "ingredients": ("rice",),
    }
