"""Which provider is asked next, by how the earlier attempts ended."""

from __future__ import annotations

from datetime import UTC, date, datetime

from generations.catalogue import Catalogue
from generations.models import Kind
from generations.requests import GenerationRequest
from workers.fallback import Turn, left_out, next_turn
from workers.options import priced_options
from workers.rows import Attempt, AttemptState, Claim, Failure, Option

TODAY = date(2026, 11, 21)
ALL = {"openai", "fal", "sandbox"}
CATALOGUE = Catalogue.load()


def failed(provider, reason, *, elsewhere, presumed=False):
    """Return how an attempt ended."""
    return provider, Failure(reason, "", 0.0, elsewhere), presumed


def claim(*ends, model="", forgiven=0):
    """Return a claim on a generation with attempts that ended so."""
    attempts = tuple(
        Attempt(
            number=number,
            state=AttemptState.RELEASED,
            options=(Option(provider, "m", "premium", 1),),
            option_index=0,
            reservation_id="acme/r",
            remote_id="",
            dispatch_age_s=0.0,
            actual_micros=None,
            actual_images=None,
            presumed_spent=presumed,
            failure=failure,
        )
        for number, (provider, failure, presumed) in enumerate(ends, start=1)
    )
    request = GenerationRequest("acme", Kind.IMAGE, "a cat", model, "1024x1024", "premium", 1)
    created = datetime(2026, 11, 21, tzinfo=UTC)
    return Claim("acme/g", 1, request, created, 1, attempts, forgiven_count=forgiven)


def turn(found, provider, providers=ALL):
    """Return whose turn it is after the provider has failed."""
    return next_turn(CATALOGUE, found, provider, providers, TODAY)


def test_one_that_failed_makes_way_for_the_next_of_its_class():
    assert turn(claim(), "openai") is Turn.OTHER
    again = claim(failed("openai", "unavailable", elsewhere=True))
    assert left_out(again) == {"openai"}
    (first, *_) = priced_options(CATALOGUE, again.request, ALL, TODAY, without=left_out(again))
    assert (first.provider, first.quality) == ("fal", "premium")


def test_a_model_that_was_named_is_not_made_elsewhere():
    assert turn(claim(model="gpt-image-2"), "openai") is Turn.NONE
    assert turn(claim(), "openai", {"openai"}) is Turn.NONE


def test_a_round_ends_when_nobody_is_left_and_all_that_may_have_recovered_come_again():
    second = claim(failed("openai", "unavailable", elsewhere=True))
    assert turn(second, "fal", {"openai", "fal"}) is Turn.ANEW
    third = claim(
        failed("openai", "unavailable", elsewhere=True),
        failed("fal", "auth_or_billing", elsewhere=False),
    )
    assert left_out(third) == {"fal"}


def test_one_that_may_have_the_job_is_never_asked_again():
    again = claim(
        failed("fal", "timeout_unknown", elsewhere=True, presumed=True),
        failed("openai", "unavailable", elsewhere=False),
    )
    assert left_out(again) == {"fal"}


def test_a_placeholder_stands_in_for_nothing_real():
    assert turn(claim(), "fal", {"fal", "sandbox"}) is Turn.NONE


def test_what_was_forgiven_is_forgotten():
    again = claim(failed("openai", "auth_or_billing", elsewhere=True), forgiven=1)
    assert left_out(again) == set()
