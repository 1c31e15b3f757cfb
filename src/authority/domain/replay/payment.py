"""How an account pays for work: the options of a Reserve, as workers ask for them.

The provider's cost is a leg in USD. Beside it stands the count, which grants have to cover where
there ever were any in it; or else credits by the price list, where there ever were credits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil
from typing import NamedTuple

from authority.domain.money import Leg, Option, Unit
from authority.domain.policies import TenantPolicy
from authority.domain.replay.workload import Offer, Work
from generations.models import Kind, Quality

COUNTED_IN = {Kind.IMAGE: Unit.IMAGES, Kind.CHAT: Unit.MESSAGES, Kind.VIDEO: Unit.VIDEOS}
# Why a Reserve is not even asked for.
PLAN_TIER, UNPRICED = "PLAN_TIER", "UNPRICED"

CreditPrices = Mapping[tuple[Kind, str], int]
"""Micros of a credit by kind and tier: for an image or a message one, for a video a second."""


class Way(NamedTuple):
    """An option of a Reserve, with what it is of and what a Commit then pays."""

    option: Option
    offer: Offer
    actual: Mapping[Unit, int]


class NoWay(Exception):
    """The account can't pay for it at all; the argument says why."""


def ways_to_pay(work: Work, policy: TenantPolicy, prices: CreditPrices) -> list[Way]:
    """Return the options of the Reserve of some work. Raises NoWay."""
    offers = work.offers
    if policy.tier(work.account) == Quality.STANDARD:
        offers = tuple(offer for offer in offers if offer.tier != Quality.PREMIUM)
        if not offers:
            raise NoWay(PLAN_TIER)
    prepaid = policy.prepaid_units(work.account)
    ways = [way for offer in offers for way in _ways(work, offer, prepaid, prices)]
    if not ways:
        raise NoWay(UNPRICED)
    return ways


def _ways(
    work: Work, offer: Offer, prepaid: frozenset[Unit], prices: CreditPrices
) -> Iterator[Way]:
    counted = COUNTED_IN[work.kind]
    has_units, has_credits = counted in prepaid, Unit.CREDITS in prepaid
    count = Leg(counted, work.wanted)
    if has_units or not has_credits:
        # What brought nothing costs its user nothing.
        made = 0 if has_units and offer.fails else offer.made
        yield _way(offer, (count,), {counted: made})
    each = prices.get((work.kind, offer.tier))
    if not has_credits or each is None:
        return
    price = each * work.wanted * (work.seconds if work.kind is Kind.VIDEO else 1)
    legs = (Leg(Unit.CREDITS, price),) if price else ()
    paid = 0 if offer.fails else ceil(price * offer.share)
    actual = {Unit.CREDITS: paid} if price else {}
    if not has_units:
        legs, actual = (count, *legs), {counted: offer.made, **actual}
    yield _way(offer, legs, actual)


def _way(offer: Offer, legs: tuple[Leg, ...], actual: Mapping[Unit, int]) -> Way:
    option = Option(offer.tier, (Leg(Unit.USD, offer.estimate), *legs))
    return Way(option, offer, {Unit.USD: offer.actual, **actual})
