"""What users pay for a generation: free units first, then credits by the price list.

An account pays once it, or one above it, was ever granted units of the kind or credits; what is
held and charged in USD counts the provider's cost against budgets all the same. The ways to pay for
one tier are options of one name in a Reserve: so a soft cap spares all ways to pay for the lowest
tier, and what is lacking in one way is no reason to make less.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from math import ceil

from clients.amounts import Leg, Unit
from clients.generation_types import Kind as PricedKind
from clients.types import Denial, Enforcement
from generations.catalogue import Kind, Quality
from generations.pricing import SECONDS_DEFAULT
from generations.requests import GenerationRequest
from workers.options import NoOption, wanted_tier
from workers.rows import Attempt, Downgrade, Failure, Option
from workers.terms import Terms

_COUNTED_IN = {Kind.IMAGE: Unit.IMAGES, Kind.CHAT: Unit.MESSAGES, Kind.VIDEO: Unit.VIDEOS}


def ways_to_pay(
    options: Iterable[Option], request: GenerationRequest, terms: Terms
) -> list[Option]:
    """Return the options of a Reserve: for each, what it may be paid with, in order.

    Raises NoOption where none of them is for sale to the account.
    """
    ways = [way for option in options for way in _ways(option, request, terms)]
    if not ways:
        raise NoOption(
            Failure(
                "unpriced",
                f"The account pays in credits, and the price list has no price for a {request.kind}"
                " of that quality. Set one with UpdatePriceList.",
            )
        )
    wanted = wanted_tier(request)
    if wanted and all(way.tier != wanted for way in ways):
        above = terms.tier == Quality.STANDARD and wanted == Quality.PREMIUM
        lesser = "plan_tier" if above else "unavailable"
        ways = [replace(way, lesser=lesser) for way in ways]
    return ways


def counted_in(kind: Kind) -> Unit:
    """Return the unit in which the generations of a kind are counted."""
    return _COUNTED_IN[kind]


def reserve_legs(kind: Kind, option: Option, count: int) -> tuple[Leg, ...]:
    """Return what a Reserve holds for an option: money, the count, credits."""
    return _legs(kind, option, option.estimate_micros, count, option.credits_micros)


def commit_legs(request: GenerationRequest, attempt: Attempt) -> tuple[Leg, ...]:
    """Return what an attempt that was answered has cost.

    What brought nothing costs its user nothing: neither credits nor free units.
    """
    assert attempt.actual_micros is not None, "it is written down with the answer"
    assert attempt.actual_images is not None, "it is written down with the answer"
    option, made = attempt.option, attempt.actual_images
    if option.paid_by and attempt.failure is not None:
        if option.paid_by == Unit.CREDITS:
            return _legs(request.kind, option, attempt.actual_micros, made, 0)
        return _legs(request.kind, option, attempt.actual_micros, 0, 0)
    part = Fraction(min(made, request.count), request.count)
    if request.kind is Kind.VIDEO and attempt.usage.get("milliseconds"):
        asked_ms = 1000 * request.count * (request.settings.seconds or SECONDS_DEFAULT)
        part = min(part, Fraction(attempt.usage["milliseconds"], asked_ms))
    # Each is rounded up to a micro, and never above what was held.
    paid = ceil(option.credits_micros * part)
    if option.paid_by == counted_in(request.kind):
        made = min(made, request.count)
    return _legs(request.kind, option, attempt.actual_micros, made, paid)


def downgrade_of(request: GenerationRequest, option: Option, passed: Denial | None) -> Downgrade:
    """Return why an option that was held is a lesser one than was asked for; NONE if it is not.

    `passed` is what Reserve says of the better tier, if that was an option.
    """
    wanted = wanted_tier(request)
    if not wanted or option.tier in ("", wanted):
        return Downgrade()
    if option.lesser:
        return Downgrade(option.lesser)
    if passed is None or not (passed.limiting_budgets or passed.grant_shortages):
        return Downgrade("budget")
    if not passed.limiting_budgets:
        return Downgrade("grants")
    tightest = passed.limiting_budgets[0]
    is_soft = tightest.enforcement is Enforcement.DOWNGRADE
    return Downgrade("soft_cap" if is_soft else "budget", f"{tightest.account}#{tightest.budget}")


def _ways(option: Option, request: GenerationRequest, terms: Terms) -> list[Option]:
    """Return an option once for each way to pay for it."""
    counted = counted_in(request.kind)
    has_units = counted in terms.prepaid_units
    ways = [replace(option, paid_by=counted)] if has_units else []
    if Unit.CREDITS not in terms.prepaid_units:
        return ways or [option]
    prices = terms.price_list
    price = prices.price(PricedKind[request.kind.name], option.tier) if prices else None
    if price is None:
        return ways
    units = request.count
    if request.kind is Kind.VIDEO:
        units *= request.settings.seconds or SECONDS_DEFAULT
    # A count that must be covered by grants can't stand beside credits, which are in its place.
    by_credits = replace(
        option, paid_by=Unit.CREDITS, credits_micros=price * units, counts=not has_units
    )
    return [*ways, by_credits]


def _legs(kind: Kind, option: Option, micros: int, made: int, paid: int) -> tuple[Leg, ...]:
    legs = [Leg(Unit.USD, micros)]
    if option.counts:
        legs.append(Leg(counted_in(kind), made))
    if option.credits_micros:
        legs.append(Leg(Unit.CREDITS, paid))
    return tuple(legs)
