"""The rules of suggestions on rows made by hand: what is compared, and what is left out."""

from __future__ import annotations

from datetime import date

import pytest

from authority.domain.insights.alternatives import Market, extent, has_same_shape
from authority.domain.insights.facts import (
    Counted,
    Made,
    PastAttempt,
    PastGeneration,
    PastOption,
)
from authority.domain.insights.insight import Choice, InsightKind, Sum
from authority.domain.insights.review import Review
from authority.domain.insights.score import Efficiency
from authority.domain.insights.shorter_prompts import third_quartile
from generations.catalogue import Catalogue
from generations.models import Kind, Status
from generations.requests import GenerationRequest
from generations.settings import Settings
from similarity.policy import CachePolicy

TODAY = date(2026, 11, 22)
CATALOGUE = Catalogue.load()
ALL = {model.provider for kind in Kind for model in CATALOGUE.models(kind)}
HIGH = PastOption("openai", "gpt-image-2", "high", 220_000)


def market(live=ALL, today=TODAY):
    """Return what models there are."""
    return Market(CATALOGUE, live, today)


def generation(
    option=HIGH, paid=200_000, *, kind=Kind.IMAGE, size="1024x1024", count=1, model="",
    quality="premium", error="", counted=None, settings=None, number=1,
):  # fmt: skip
    """Return a generation that one attempt has made."""
    attempt = PastAttempt(
        number=1,
        options=(option,),
        option_index=0,
        actual=paid,
        charged=paid,
        made=count,
        counted=counted or Counted(),
        is_paid=True,
        error=error,
    )
    return PastGeneration(
        generation_id=f"acme/{number}",
        request=GenerationRequest(
            "acme", kind, f"a lighthouse {number}", model, size, quality, count,
            settings or Settings(),
        ),
        create_ms=number,
        state="FAILED" if error else "SUCCEEDED",
        attempts=(attempt,),
    )  # fmt: skip


def made(found):
    """Return a generation as a rule sees it."""
    return Made(found, found.attempts[0], found.attempts[0].options[0])


def reviewed(*generations, **fields):
    """Return what the rules say of some generations."""
    review = Review(market(**fields), CachePolicy())
    for found in generations:
        review.add(found)
    return review.finish()


def test_only_live_models_with_a_published_price_are_suggested():
    for choice in market().others(made(generation())):
        model = market().model(choice.model)
        assert model.status_on(TODAY) is Status.LIVE
        assert not model.estimated
        assert not model.accepts.reference_each, "a print makes nothing"
        assert model.provider != "sandbox"
        assert CATALOGUE.tier(model, choice.quality) == "premium"


def test_only_providers_with_a_worker_are_suggested():
    others = market(live={"fal", "openai"}).others(made(generation()))
    assert {choice.provider for choice in others} == {"fal"}


def test_a_model_that_does_not_take_the_settings_is_not_suggested():
    masked = generation(settings=Settings(references=("acme/1/0",), mask="acme/1/1"))
    assert {choice.provider for choice in market().others(made(masked))} <= {"fal", "openai"}
    found = market().others(made(generation(settings=Settings(seed=7, steps=20))))
    for choice in found:
        model = market().model(choice.model)
        assert not model.accepts.refusals(Settings(seed=7, steps=20))


def test_the_sandbox_is_compared_with_itself_alone():
    option = PastOption("sandbox", "sandbox-image", "premium", 90_000)
    assert market().others(made(generation(option, 80_000))) == []
    (lower,) = reviewed(generation(option, 80_000), live={"sandbox"}).insights
    assert (lower.kind, lower.instead.model) == (InsightKind.LOWER_QUALITY, "sandbox-image")


def test_a_cost_is_never_above_the_estimate_nor_a_saving_above_what_was_paid():
    for found in (generation(), generation(count=3, paid=600_000)):
        for choice in market().others(made(found)):
            cost = market().cost(made(found), choice)
            assert cost <= market().estimate(found.request, choice)
    for insight in reviewed(generation(paid=1)).insights:
        assert insight.kind is InsightKind.RETIRING_MODEL


def test_as_many_are_priced_as_were_made():
    whole, half = generation(count=4), generation(count=4)
    attempt = half.attempts[0]
    half = made(half)
    fewer = Made(half.generation, PastAttempt(**_fields(attempt) | {"made": 2}), half.option)
    choice = Choice("stability", "stable-image-ultra", "1024x1024", "premium")
    assert market().cost(fewer, choice) * 2 == market().cost(made(whole), choice)


def _fields(attempt):
    return {name: getattr(attempt, name) for name in attempt.__dataclass_fields__}


def told(kind, found):
    """Return what is suggested by a kind in place of what made a generation."""
    (insight,) = [insight for insight in reviewed(found).insights if insight.kind is kind]
    return insight.instead


def test_the_cheapest_model_the_next_quality_and_the_nearest_size_are_told():
    found = generation(model="gpt-image-2", quality="high")
    costs = {choice: market().cost(made(found), choice) for choice in market().others(made(found))}
    assert len(set(costs.values())) > 1
    assert costs[told(InsightKind.CHEAPER_MODEL, found)] == min(costs.values())
    assert told(InsightKind.LOWER_QUALITY, found).quality == "medium"
    flux = PastOption("fal", "fal-ai/flux-2-pro", "premium", 90_000)
    for size, smaller in (("1024x1024", "512x512"), ("1024x1536", "1024x1024")):
        found = generation(flux, 90_000, size=size)
        assert told(InsightKind.SMALLER_SIZE, found).size == smaller


def test_a_print_and_an_unknown_model_are_compared_with_nothing():
    printed = PastOption("print", "print-png", "standard", 1_000)
    size = market().model("print-png").sizes[0]
    assert reviewed(generation(printed, 1_000, size=size)).insights == ()
    unknown = PastOption("openai", "gone", "high", 1_000)
    assert reviewed(generation(unknown, 1_000, model="gone", quality="high")).insights == ()


def test_a_retired_model_is_told_also_after_its_end():
    option = PastOption("openai", "gpt-image-1", "low", 20_000)
    (retired,) = [
        insight
        for insight in reviewed(generation(option, 11_000, model="gpt-image-1")).insights
        if insight.kind is InsightKind.RETIRING_MODEL
    ]
    assert "has ended on 2026-10-23" in retired.summary
    assert retired.instead.model == "gpt-image-2"


def test_the_parts_of_the_score_are_of_other_attempts_each():
    twice = generation(number=1), generation(number=1), generation(number=2, error="refused")
    found = reviewed(*twice)
    score = found.efficiency
    assert (score.paid, score.failures, score.duplicates) == (600_000, 200_000, 200_000)
    assert 0 < score.dearer < 200_000
    assert score.score_ppm == (200_000 - score.dearer) * 1_000_000 // 600_000


@pytest.mark.parametrize(
    ("parts", "score"),
    [
        ((0, 0, 0, 0, 0), None),
        ((10, 0, 0, 0, 0), 1_000_000),
        ((10, 10, 10, 0, 0), 500_000),
        ((3, 0, 1, 1, 0), 333_333),
        ((0, 5, 0, 0, 0), 1_000_000),
    ],
)
def test_the_score_is_a_share_rounded_down(parts, score):
    assert Efficiency(*parts).score_ppm == score


def test_sizes_are_compared_by_their_extent_and_shape():
    sizes = ["480p", "720p", "1080p", "4k"]
    assert sorted(sizes, key=extent) == sizes
    assert extent("1024x1536") == 1024 * 1536
    assert extent("auto") is None
    assert has_same_shape("1024x1024", "512x512")
    assert not has_same_shape("1024x1536", "1024x1024")
    assert has_same_shape("1080p", "480p")


def test_the_third_quartile_is_one_of_the_values():
    assert third_quartile([1]) == 1
    assert third_quartile([4, 1, 3, 2]) == 3
    assert third_quartile(list(range(100))) == 74


def test_the_dearest_are_kept_as_examples():
    total = Sum()
    for number in range(10):
        total.add(f"acme/{number}", number * 10, number)
    assert (total.paid, total.cost, total.saved, total.count) == (450, 45, 405, 10)
    assert total.generation_ids == ("acme/9", "acme/8", "acme/7")
