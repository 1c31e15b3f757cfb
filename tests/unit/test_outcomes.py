"""What the ends of a call mean: what is paid, and whether another try is made."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from clients.amounts import Unit
from clients.types import Denial, DenialReason, GrantShortage, LimitingBudget, Window
from generations.catalogue import Catalogue
from generations.models import Kind
from generations.pricing import Usage
from generations.requests import GenerationRequest
from generations.settings import Settings
from workers.fallback import Turn
from workers.outcomes import (
    bill,
    describe_denial,
    failure_of,
    is_dead_letter,
    outcome_of_dead,
    presumed,
)
from workers.providers.errors import (
    AuthOrBilling,
    ContentRefused,
    InvalidRequest,
    ModelGone,
    ProviderFailed,
    RateLimited,
    TimeoutUnknown,
    Unavailable,
)
from workers.rows import Attempt, AttemptState, Claim, Option

NOW = datetime(2026, 11, 21, tzinfo=UTC)
REQUEST = GenerationRequest("acme", Kind.IMAGE, "a cat", "", "1024x1024", "premium", 2)


def attempt(number=1, state=AttemptState.DISPATCHED, model="sandbox-image"):
    return Attempt(
        number=number,
        state=state,
        options=(Option("sandbox", model, "premium", 160_000),),
        option_index=0,
        reservation_id="acme/r",
        remote_id="",
        dispatch_age_s=0.0,
        actual_micros=None,
        actual_images=None,
        presumed_spent=False,
        failure=None,
    )


def claim(*attempts):
    return Claim("acme/g", 1, REQUEST, NOW, 1, attempts)


def failed(claim, attempt, error, turn=Turn.NONE):
    return failure_of(claim, attempt, error, turn)


def test_what_passes_is_tried_again_after_what_the_provider_asks_for():
    error = RateLimited("openai", "slow down", retry_after_seconds=7)
    assert failed(claim(), attempt(), error)[:3] == ("rate_limited", "slow down", 7)


def test_the_waits_grow_where_the_provider_says_nothing():
    error = RateLimited("openai", "slow down")
    waits = [failed(claim(), attempt(number), error).retry_s for number in range(1, 6)]
    assert waits == [2, 4, 8, 16, None]


@pytest.mark.parametrize(
    "error",
    [ContentRefused("openai", "no"), RateLimited("openai", "no", retry_after_seconds=601)],
)
def test_what_does_not_pass_is_not_tried_again(error):
    assert failed(claim(), attempt(), error).retry_s is None


def test_nobody_pays_three_times():
    lost = TimeoutUnknown("openai", "nothing came")
    assert failed(claim(), attempt(), lost).retry_s is not None
    assert outcome_of_dead(claim(), attempt()).retry_s == 0
    paid = attempt(1, AttemptState.COMMITTED)
    assert failed(claim(paid), attempt(2), lost).retry_s is None
    assert outcome_of_dead(claim(paid), attempt(2)).retry_s is None
    free = attempt(1, AttemptState.RELEASED)
    assert outcome_of_dead(claim(free), attempt(2)).retry_s == 0


def test_what_was_forgiven_counts_no_more():
    lost = TimeoutUnknown("openai", "nothing came")
    paid = attempt(1, AttemptState.COMMITTED)
    forgiven = replace(claim(paid), forgiven_count=1)
    assert failed(forgiven, attempt(2), lost).retry_s == 2
    assert failed(forgiven, attempt(5), lost).retry_s is not None
    assert failed(forgiven, attempt(6), lost).retry_s is None


def test_a_job_that_may_be_there_is_never_submitted_again():
    lost, broken = TimeoutUnknown("fal", "nothing came"), ProviderFailed("fal", "no sense")
    of_fal = replace(attempt(), options=(Option("fal", "m", "premium", 1),))
    for error in (lost, broken):
        assert failed(claim(), of_fal, error).retry_s is None
        assert failed(claim(), of_fal, error, Turn.OTHER).elsewhere
    refused = RateLimited("fal", "slow down", retry_after_seconds=7)
    assert failed(claim(), of_fal, refused).retry_s == 7
    known = replace(of_fal, remote_id="remote-1")
    assert failed(claim(), known, lost).retry_s is None
    assert failed(claim(), known, broken).retry_s == 2, "the job has ended"


@pytest.mark.parametrize(
    ("error", "elsewhere"),
    [
        (Unavailable("openai", "away"), True),
        (AuthOrBilling("openai", "no key"), True),
        (ModelGone("openai", "no model"), True),
        (ProviderFailed("openai", "500"), True),
        (RateLimited("openai", "slow", retry_after_seconds=60), True),
        (RateLimited("openai", "slow", retry_after_seconds=5), False),
        (ContentRefused("openai", "no"), False),
        (InvalidRequest("openai", "no"), False),
    ],
)
def test_another_provider_is_asked_about_what_it_may_not_have(error, elsewhere):
    failure = failed(claim(), attempt(), error, Turn.OTHER)
    assert failure.elsewhere is elsewhere
    if elsewhere:
        assert failure.retry_s == 0
    assert not failed(claim(), attempt(5), error, Turn.OTHER).elsewhere


def test_what_waits_for_an_operator_is_tried_again_where_others_may_have_recovered():
    error = AuthOrBilling("openai", "no key")
    assert failed(claim(), attempt(), error).retry_s is None
    anew = failed(claim(), attempt(), error, Turn.ANEW)
    assert (anew.retry_s, anew.elsewhere) == (2, False)


def test_a_failure_keeps_what_operators_ask_about():
    error = Unavailable("openai", "away", request_id="req-1")
    failure = failed(claim(), attempt(), error)
    assert failure[-3:] == ("Unavailable", "away", "req-1")


def test_what_the_requester_has_to_mend_is_no_dead_letter():
    theirs = ("content_refused", "invalid_request", "deadline_exceeded", "reference_missing")
    assert not any(map(is_dead_letter, theirs))
    assert all(map(is_dead_letter, ("timeout_unknown", "auth_or_billing", "internal")))


def test_what_may_have_been_made_is_paid_by_its_estimate():
    failure = outcome_of_dead(claim(), attempt())
    answer = presumed(claim(), attempt(), failure)
    assert (answer.actual_micros, answer.actual_images, answer.presumed_spent) == (160_000, 2, True)


@pytest.mark.parametrize(
    ("usage", "model", "micros"),
    [
        (Usage(images=1), "sandbox-image", 80_000),
        (None, "sandbox-image", 160_000),
        (Usage(images=1), "no longer listed", 160_000),
    ],
)
def test_the_bill_follows_the_usage_where_it_is_known(usage, model, micros):
    assert bill(Catalogue.load(), claim(), attempt(model=model), usage) == micros


@pytest.mark.parametrize(
    ("kind", "model", "settings", "usage", "micros"),
    [
        (
            *(Kind.CHAT, "sandbox-chat", Settings(max_tokens=10)),
            *(Usage(text_input_tokens=100, text_output_tokens=7), 256),
        ),
        (
            *(Kind.VIDEO, "sandbox-video", Settings(seconds=4)),
            *(Usage(seconds=Decimal("3.5")), 350_000),
        ),
        (Kind.VIDEO, "sandbox-video", Settings(seconds=4), Usage(videos=1), 400_000),
    ],
)
def test_every_kind_is_billed_by_its_usage(kind, model, settings, usage, micros):
    size = "720p" if kind is Kind.VIDEO else ""
    request = GenerationRequest("acme", kind, "a cat", "", size, "premium", 2, settings)
    claimed = Claim("acme/g", 1, request, NOW, 1, ())
    assert bill(Catalogue.load(), claimed, attempt(model=model), usage) == micros


def test_a_denial_is_told_by_its_tightest_budget():
    tightest = LimitingBudget(
        account="acme/bob",
        budget="usd-day",
        unit=Unit.USD,
        window=Window.DAY,
        limit=1_000_000,
        reserved=40_000,
        committed=950_000,
        requested=80_000,
        short_by=70_000,
        reset_time=datetime(2026, 11, 22, tzinfo=UTC),
        reason=DenialReason.BUDGET_EXHAUSTED,
    )
    denial = Denial(DenialReason.BUDGET_EXHAUSTED, "acme/bob", (tightest,), 1)
    assert describe_denial(denial) == (
        "The budget usd-day of acme/bob allows 1 USD per day; 0.08 USD more is 0.07 USD too much, "
        "with 0.95 USD spent and 0.04 USD held. It begins anew 2026-11-22 00:00 UTC."
    )
    short = GrantShortage(Unit.CREDITS, 2_000_000, 500_000, 0, 1_500_000)
    lacking = Denial(DenialReason.INSUFFICIENT_GRANTS, "acme/bob", grant_shortages=(short,))
    assert describe_denial(lacking) == (
        "What was granted to acme/bob does not cover it: it costs 2 CREDITS, and 0.5 CREDITS may be"
        " spent."
    )
    frozen = Denial(DenialReason.ACCOUNT_FROZEN, "acme/bob")
    assert describe_denial(frozen) == "A Reserve for acme/bob was denied: ACCOUNT_FROZEN."
