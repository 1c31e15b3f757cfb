"""What is replayed: each attempt as the work that it was, or as it would be by another model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from authority.domain.insights.alternatives import Market
from authority.domain.insights.facts import Made, PastAttempt, PastGeneration, PastOption
from authority.domain.insights.insight import Choice
from generations.models import Kind, Model, Quality
from generations.pricing import SECONDS_DEFAULT
from generations.requests import GenerationRequest


class Offer(NamedTuple):
    """Something that work might be done by: what is held for it and what it then costs.

    `tier` is its quality class, `share` how much of what was asked for was made. `is_paid` says
    whether it costs anything, `fails` whether that brings nothing.
    """

    tier: str
    estimate: int
    actual: int
    made: int
    share: Fraction = Fraction(1)
    is_paid: bool = True
    fails: bool = False


class Work(NamedTuple):
    """One Reserve and what ends it. Times are Unix milliseconds.

    `tier` is the class that was asked for, '' for a model by its name; `seconds` is of a video.
    """

    account: str
    kind: Kind
    tier: str
    wanted: int
    seconds: int
    at_ms: int
    end_ms: int
    offers: tuple[Offer, ...]


class Fate(StrEnum):
    """What became of a generation that no budget decides about."""

    OPEN = ""  # its work says
    CACHED = "cached"
    FAILED = "failed"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True, slots=True)
class Workload:
    """A generation to be replayed; the last work is what delivers it, unless it `fails`."""

    create_ms: int
    works: tuple[Work, ...]
    fate: Fate = Fate.OPEN
    fails: bool = False


def as_it_was(generation: PastGeneration, market: Market) -> Workload:
    """Return a generation with the attempts that were made for it."""
    if generation.cached:
        return Workload(generation.create_ms, (), Fate.CACHED)
    works = tuple(
        work for found in generation.attempts if (work := _work(generation, found, market))
    )
    fails = generation.state not in {"SUCCEEDED", "DENIED"}
    if not works:
        return Workload(generation.create_ms, (), Fate.FAILED)
    return Workload(generation.create_ms, works, fails=fails)


def by_model(generation: PastGeneration, market: Market, model: Model) -> Workload:
    """Return a generation as another model would make it, at once; other kinds are as they were.

    Attempts that failed are others' and are left out.
    """
    request = generation.request
    if generation.cached or request.kind is not model.kind or not generation.attempts:
        return as_it_was(generation, market)
    delivered = generation.delivered
    if delivered is None and generation.state != "DENIED":
        return Workload(generation.create_ms, (), Fate.FAILED)
    first = generation.attempts[0]
    choice = _by(model, request, first, market)
    estimate = market.estimate(request, choice)
    if estimate is None or model.accepts.refusals(request.settings, request.count):
        return Workload(generation.create_ms, (), Fate.IMPOSSIBLE)
    cost: int | None = estimate
    if delivered is not None and delivered.option is not None:
        cost = market.cost(Made(generation, delivered, delivered.option), choice)
    # A bill is never above the estimate.
    actual = estimate if cost is None else min(cost, estimate)
    made = request.count if delivered is None else delivered.made
    share = Fraction(1) if delivered is None else _share(generation, delivered)
    offer = Offer(market.tier(choice), estimate, actual, made, share)
    settle_ms = first.reserve_ms if delivered is None else delivered.settle_ms
    # What names its model is not downgraded by it.
    work = _at(generation, first.reserve_ms, settle_ms, (offer,))._replace(tier="")
    return Workload(generation.create_ms, (work,))


def _by(model: Model, request: GenerationRequest, attempt: PastAttempt, market: Market) -> Choice:
    """Return what a request gets of a model: the same quality or class, or else its default."""
    asked = attempt.option or next(iter(attempt.options), None)
    tier = request.quality
    if asked is not None and request.model:
        tier = market.tier(Choice(asked.provider, asked.model, request.size, asked.quality))
    quality = market.same_quality(model, request.quality, tier)
    return Choice(model.provider, model.name, request.size, quality or model.default_quality)


def _work(generation: PastGeneration, attempt: PastAttempt, market: Market) -> Work | None:
    """Return an attempt as work; None if it never asked for anything."""
    if not attempt.options or (attempt.option_index is None and not attempt.denial):
        return None
    # Of an option there may be one for each way to pay.
    options = {
        (option.provider, option.model, option.quality): option for option in attempt.options
    }
    offers = [_offer(generation, attempt, option, market) for option in options.values()]
    if any(option.lesser == "plan_tier" for option in attempt.options):
        # Its plan had kept the better one from being offered, which another may not.
        offers = [*_premium(generation, attempt, market), *offers]
    end_ms = max(attempt.settle_ms, attempt.reserve_ms)
    return _at(generation, attempt.reserve_ms, end_ms, tuple(offers))


def _offer(
    generation: PastGeneration, attempt: PastAttempt, option: PastOption, market: Market
) -> Offer:
    request, held = generation.request, attempt.option
    choice = Choice(option.provider, option.model, request.size, option.quality)
    tier = option.tier or market.tier(choice)
    if held is None:
        # What was denied has no bill: the most that it might have been.
        return Offer(tier, option.estimate, option.estimate, request.count)
    if not attempt.is_paid:
        return Offer(tier, option.estimate, 0, 0, is_paid=False)
    actual = attempt.actual
    if (option.model, option.quality) != (held.model, held.quality):
        cost = market.cost(Made(generation, attempt, held), choice)
        actual = option.estimate if cost is None else min(cost, option.estimate)
    share, fails = _share(generation, attempt), bool(attempt.error)
    return Offer(tier, option.estimate, actual, attempt.made, share, fails=fails)


def _premium(generation: PastGeneration, attempt: PastAttempt, market: Market) -> list[Offer]:
    request = generation.request
    choice = market.by_class(request, Quality.PREMIUM)
    estimate = None if choice is None else market.estimate(request, choice)
    if choice is None or estimate is None:
        return []
    option = PastOption(choice.provider, choice.model, choice.quality, estimate, Quality.PREMIUM)
    return [_offer(generation, attempt, option, market)]


def _share(generation: PastGeneration, attempt: PastAttempt) -> Fraction:
    """Return how much of what was asked for was made, as users pay for it."""
    request = generation.request
    share = Fraction(min(attempt.made, request.count), request.count)
    if request.kind is Kind.VIDEO and attempt.counted.milliseconds:
        asked_ms = 1000 * request.count * (request.settings.seconds or SECONDS_DEFAULT)
        share = min(share, Fraction(attempt.counted.milliseconds, asked_ms))
    return share


def _at(generation: PastGeneration, at_ms: int, end_ms: int, offers: tuple[Offer, ...]) -> Work:
    request = generation.request
    return Work(
        account=request.account,
        kind=request.kind,
        tier="" if request.model else request.quality or Quality.PREMIUM,
        wanted=request.count,
        seconds=request.settings.seconds or SECONDS_DEFAULT,
        at_ms=at_ms,
        end_ms=max(end_ms, at_ms),
        offers=offers,
    )
