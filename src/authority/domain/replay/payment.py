"""How an account pays for work: the options of a Reserve, as workers ask for them.

The provider's cost is a leg in USD. Beside it stands the count, where the account has no grants in
it or has some left; or else credits by the price list, where it has grants of credits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from authority.domain.money import Leg, Option, Unit
from authority.domain.policies import TenantPolicy
from authority.domain.replay.workload import Offer, Work
from generations.models import Kind, Quality

COUNTED_IN = {Kind.IMAGE: Unit.IMAGES, Kind.CHAT: Unit.MESSAGES, Kind.VIDEO: Unit.VIDEOS}

CreditPrices = Mapping[tuple[str, str], int]
"""Micros of a credit by kind and tier: for an image or a message one, for a video a second."""


class Way(NamedTuple):
    """An option of a Reserve, with what it is of and what a Commit then pays."""

    option: Option
    offer: Offer
    actual: Mapping[Unit, int]


def ways_to_pay(work: Work, policy: TenantPolicy, prices: CreditPrices) -> list[Way]:
    """Return the options of the Reserve of some work; none if its plan allows none of its tiers."""
    prepaid, tier = policy.prepaid_units(work.account), policy.tier(work.account)
    offers = [offer for offer in work.offers if _is_allowed(offer, tier)]
    return [way for offer in offers for way in _ways(work, offer, prepaid, prices)]


def _is_allowed(offer: Offer, tier: str) -> bool:
    return tier != Quality.STANDARD or offer.tier != Quality.PREMIUM


def _ways(
    work: Work, offer: Offer, prepaid: frozenset[Unit], prices: CreditPrices
) -> Iterator[Way]:
    counted = COUNTED_IN[work.kind]
    each = prices.get((work.kind, offer.tier))
    pays_credits = Unit.CREDITS in prepaid and each is not None
    if counted in prepaid or not pays_credits:
        yield _way(offer, counted, work.wanted, offer.made)
    if pays_credits and each is not None:
        seconds = work.seconds if work.kind is Kind.VIDEO else 1
        yield _way(offer, Unit.CREDITS, each * work.wanted * seconds, each * offer.made * seconds)


def _way(offer: Offer, unit: Unit, held: int, paid: int) -> Way:
    legs = [Leg(Unit.USD, offer.estimate)]
    actual = {Unit.USD: offer.actual}
    if held:
        legs.append(Leg(unit, held))
        actual[unit] = paid
    return Way(Option(offer.tier, tuple(legs)), offer, actual)
