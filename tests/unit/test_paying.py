"""What users pay with, and for what: free units, then credits by the price list."""

from __future__ import annotations

import asyncio
from datetime import date

import pytest

from clients import errors
from clients.amounts import Leg, Unit
from clients.credit_types import CreditPrice, CreditStatus, PriceList
from clients.generation_types import Kind as PricedKind
from clients.types import (
    Denial,
    DenialReason,
    Enforcement,
    GrantShortage,
    LimitingBudget,
    Window,
)
from generations.catalogue import Catalogue, Kind
from generations.requests import validate_request
from generations.settings import Settings
from workers.options import NoOption, priced_options
from workers.paying import commit_legs, downgrade_of, reserve_legs, ways_to_pay
from workers.rows import Attempt, AttemptState, Downgrade, Failure, Option
from workers.terms import FRESH_SECONDS, NO_TERMS, Terms, TermsOfAccounts

TODAY = date(2026, 11, 21)
EVERYONE = {"openai", "fal", "sandbox"}
PRICES = PriceList(
    1,
    (
        CreditPrice(PricedKind.IMAGE, "premium", 2_000_000),
        CreditPrice(PricedKind.IMAGE, "standard", 1_000_000),
        CreditPrice(PricedKind.VIDEO, "premium", 2_000_000),
        CreditPrice(PricedKind.VIDEO, "standard", 333_333),
        CreditPrice(PricedKind.CHAT, "standard", 0),
    ),
    "",
    None,
)
FREE = Terms("", frozenset({Unit.IMAGES}), PRICES)
CREDITS = Terms("", frozenset({Unit.CREDITS}), PRICES)
BOTH = Terms("", frozenset({Unit.IMAGES, Unit.CREDITS}), PRICES)


def request(**fields):
    arguments = {"account": "acme", "prompt": "a red fox", **fields}
    return validate_request(catalogue=Catalogue.load(), today=TODAY, **arguments)


def options(wanted, terms):
    found = priced_options(Catalogue.load(), wanted, EVERYONE, TODAY, tier=terms.tier)
    return ways_to_pay(found, wanted, terms)


def offered(wanted, terms):
    """Return the name and the legs, but for money, of each option."""
    return [
        (
            option.tier,
            {leg.unit: leg.amount for leg in reserve_legs(wanted.kind, option, wanted.count)[1:]},
        )
        for option in options(wanted, terms)
    ]


def attempt(option, made, failure=None, **usage):
    return Attempt(
        number=1,
        state=AttemptState.ANSWERED,
        options=(option,),
        option_index=0,
        reservation_id="acme/r",
        remote_id="",
        dispatch_age_s=0.0,
        actual_micros=7,
        actual_images=made,
        presumed_spent=False,
        failure=failure,
        usage=usage,
    )


class TestWays:
    @pytest.mark.parametrize(
        ("terms", "legs"),
        [
            (NO_TERMS, [("premium", {"IMAGES": 2}), ("standard", {"IMAGES": 2})]),
            (FREE, [("premium", {"IMAGES": 2}), ("standard", {"IMAGES": 2})]),
            (
                CREDITS,
                [
                    ("premium", {"IMAGES": 2, "CREDITS": 4_000_000}),
                    ("standard", {"IMAGES": 2, "CREDITS": 2_000_000}),
                ],
            ),
            (
                BOTH,
                [
                    ("premium", {"IMAGES": 2}),
                    ("premium", {"CREDITS": 4_000_000}),
                    ("standard", {"IMAGES": 2}),
                    ("standard", {"CREDITS": 2_000_000}),
                ],
            ),
        ],
    )
    def test_free_ones_come_before_credits_in_each_tier(self, terms, legs):
        assert offered(request(count=2), terms) == legs

    def test_a_video_is_paid_by_the_second(self):
        wanted = request(
            kind="video", model="sandbox-video-mini", settings=Settings(seconds=7), count=2
        )
        legs = {"VIDEOS": 2, "CREDITS": 14 * 333_333}
        assert offered(wanted, CREDITS) == [("standard", legs)]

    def test_what_costs_no_credits_has_no_leg_of_them(self):
        assert offered(request(kind="chat", quality="standard"), CREDITS) == [
            ("standard", {"MESSAGES": 1})
        ]

    def test_what_has_no_price_is_not_for_sale(self):
        (only,) = options(request(kind="chat"), CREDITS)
        assert (only.tier, only.lesser) == ("standard", "unavailable")
        free = Terms("", frozenset({Unit.MESSAGES, Unit.CREDITS}), PRICES)
        assert [way.paid_by for way in options(request(kind="chat"), free)] == [
            "MESSAGES",
            "MESSAGES",
            "CREDITS",
        ]
        nothing = Terms("", frozenset({Unit.CREDITS}), PriceList(2, (), "", None))
        with pytest.raises(NoOption) as error:
            options(request(), nothing)
        assert error.value.failure.reason == "unpriced"

    def test_what_is_above_the_plan_is_not_offered(self):
        bound = BOTH._replace(tier="standard")
        assert [(way.tier, way.lesser) for way in options(request(), bound)] == [
            ("standard", "plan_tier")
        ] * 2
        assert [way.lesser for way in options(request(quality="standard"), bound)] == ["", ""]
        with pytest.raises(NoOption) as error:
            options(request(model="gpt-image-2", quality="high"), bound)
        assert error.value.failure.reason == "plan_tier"
        (named, _) = options(request(model="gpt-image-2", quality="medium"), bound)
        assert (named.tier, named.lesser) == ("standard", "")
        assert len(options(request(), BOTH._replace(tier="premium"))) == 4

    def test_a_plan_without_premium_does_not_need_who_makes_premium(self):
        wanted = request(settings=Settings(seed=3))
        bound = Terms(tier="standard")
        found = priced_options(
            Catalogue.load(), wanted, {"novita", "openai"}, TODAY, tier="standard"
        )
        (only,) = ways_to_pay(found, wanted, bound)
        assert (only.provider, only.lesser) == ("novita", "plan_tier")


class TestCommit:
    def legs(self, wanted, terms, made, place=0, failure=None, **usage):
        paid = commit_legs(wanted, attempt(options(wanted, terms)[place], made, failure, **usage))
        assert paid[0] == Leg(Unit.USD, 7), "the cost is what it was"
        return {leg.unit: leg.amount for leg in paid[1:]}

    def test_more_than_was_asked_for_costs_its_user_no_more(self):
        wanted = request(count=2)
        assert self.legs(wanted, FREE, 3) == {"IMAGES": 2}
        assert self.legs(wanted, BOTH, 3, 1) == {"CREDITS": 4_000_000}
        # A count that nobody pays with says what was made.
        assert self.legs(wanted, CREDITS, 3)["IMAGES"] == 3
        assert self.legs(wanted, Terms(), 3) == {"IMAGES": 3}

    def test_what_was_made_is_paid(self):
        wanted = request(count=4)
        assert self.legs(wanted, BOTH, 4, 1) == {"CREDITS": 8_000_000}
        assert self.legs(wanted, BOTH, 3, 1) == {"CREDITS": 6_000_000}
        assert self.legs(wanted, BOTH, 3, 0) == {"IMAGES": 3}
        assert self.legs(wanted, CREDITS, 0) == {"IMAGES": 0, "CREDITS": 0}

    def test_what_brought_nothing_costs_its_user_nothing(self):
        wanted, failure = request(count=2), Failure("provider_failed", "")
        assert self.legs(wanted, BOTH, 2, 0, failure) == {"IMAGES": 0}
        assert self.legs(wanted, BOTH, 2, 1, failure) == {"CREDITS": 0}
        assert self.legs(wanted, CREDITS, 2, 0, failure) == {"IMAGES": 2, "CREDITS": 0}
        # Whoever pays nothing has the count in the books, as always.
        assert self.legs(wanted, NO_TERMS, 2, 0, failure) == {"IMAGES": 2}

    @pytest.mark.parametrize(
        ("made_ms", "paid"),
        [
            (5_000, 1_666_665),
            (3_000, 999_999),
            (3_001, 1_000_333),
            (5_084, 1_666_665),
            (0, 1_666_665),
        ],
    )
    def test_a_video_costs_its_seconds_and_no_more_than_was_held(self, made_ms, paid):
        wanted = request(kind="video", quality="standard")
        assert wanted.settings.seconds == 5
        legs = self.legs(wanted, CREDITS, 1, milliseconds=made_ms)
        assert legs == {"VIDEOS": 1, "CREDITS": paid}

    def test_what_an_older_version_wrote_down_is_paid_as_it_was_held(self):
        option = Option("openai", "gpt-image-2", "high", 9)
        assert reserve_legs(Kind.IMAGE, option, 2) == (Leg(Unit.USD, 9), Leg(Unit.IMAGES, 2))
        assert commit_legs(request(count=2), attempt(option, 2)) == (
            Leg(Unit.USD, 7),
            Leg(Unit.IMAGES, 2),
        )


def limit(name="soft", enforcement=Enforcement.DOWNGRADE):
    return LimitingBudget(
        "acme",
        name,
        Unit.USD,
        Window.DAY,
        1,
        0,
        1,
        1,
        1,
        None,
        DenialReason.BUDGET_EXHAUSTED,
        enforcement,
    )


class TestDowngrades:
    STANDARD = Option("openai", "gpt-image-2", "medium", 9, "standard")

    def reason(self, denial, option=STANDARD, **fields):
        return downgrade_of(request(**fields), option, denial)

    def test_the_tightest_budget_says_which_cap_it_was(self):
        soft = Denial(limiting_budgets=(limit(), limit("hard", Enforcement.BLOCK)))
        assert self.reason(soft) == Downgrade("soft_cap", "acme#soft")
        hard = Denial(limiting_budgets=(limit("hard", Enforcement.BLOCK), limit()))
        assert self.reason(hard) == Downgrade("budget", "acme#hard")

    def test_grants_that_do_not_cover_it(self):
        short = GrantShortage(Unit.CREDITS, 2, 1, 0, 1)
        assert self.reason(Denial(grant_shortages=(short,))) == Downgrade("grants")

    def test_a_cap_per_request_is_no_budget_but_named_so(self):
        assert self.reason(Denial(reason=DenialReason.PER_REQUEST_CAP)) == Downgrade("budget")
        assert self.reason(None) == Downgrade("budget")

    def test_what_was_asked_for_is_no_downgrade(self):
        soft = Denial(limiting_budgets=(limit(),))
        assert self.reason(soft, quality="standard") == Downgrade()
        assert self.reason(soft, model="gpt-image-2", quality="medium") == Downgrade()
        premium = Option("openai", "gpt-image-2", "high", 9, "premium")
        assert self.reason(None, premium) == Downgrade()

    def test_what_was_not_offered_is_told_by_why(self):
        option = Option("openai", "gpt-image-2", "medium", 9, "standard", lesser="plan_tier")
        assert self.reason(Denial(limiting_budgets=(limit(),)), option) == Downgrade("plan_tier")


class TestTerms:
    async def test_it_asks_once_in_a_while(self):
        asked = []

        async def ask(account):
            asked.append(account)
            if account == "acme/nobody":
                raise errors.NotFound("there is no such account")
            if account == "acme/away":
                raise errors.Unavailable("away")
            return CreditStatus(
                account,
                "free",
                "standard",
                (Unit.IMAGES,),
                (),
                3,
                0,
                0,
                0,
                None,
                0,
                (),
                PRICES,
                None,
            )

        terms = TermsOfAccounts(ask)
        for _ in range(3):
            assert await terms.of("acme") == Terms("standard", frozenset({Unit.IMAGES}), PRICES)
            assert await terms.of("acme/nobody") == NO_TERMS
        assert asked == ["acme", "acme/nobody"]
        for _ in range(2):
            with pytest.raises(errors.Unavailable):
                await terms.of("acme/away")
        assert len(asked) == 4, "a fault is not kept"
        loop = asyncio.get_running_loop()
        read_at, known = terms._known["acme"]
        terms._known["acme"] = read_at - FRESH_SECONDS, known
        await terms.of("acme")
        assert asked[-1] == "acme"
        assert loop.time() - terms._known["acme"][0] < FRESH_SECONDS
