"""What is replayed: each attempt as the work that it was, or as it would be by another model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from authority.domain.insights.alternatives import Market
from authority.domain.insights.facts import Made, PastAttempt, PastGeneration, PastOption
from authority.domain.insights.insight import Choice
from generations.models import Kind, Model


class Offer(NamedTuple):
    """Something that work might be done by: what is held for it and what it then costs.

    `tier` is its quality class. `is_paid` says whether it costs anything: work may come to nothing.
    """

    tier: str
    estimate: int
    actual: int
    made: int
    is_paid: bool = True


class Work(NamedTuple):
    """One Reserve and what ends it. Times are Unix milliseconds."""

    account: str
    kind: Kind
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
    quality = request.quality if request.quality in model.qualities else model.default_quality
    if request.kind is not Kind.IMAGE:
        quality = model.default_quality
    choice = Choice(model.provider, model.name, request.size, quality)
    estimate = market.estimate(request, choice)
    if estimate is None or model.accepts.refusals(request.settings, request.count):
        return Workload(generation.create_ms, (), Fate.IMPOSSIBLE)
    cost: int | None = estimate
    if delivered is not None and delivered.option is not None:
        cost = market.cost(Made(generation, delivered, delivered.option), choice)
    made = request.count if delivered is None else delivered.made
    tier = market.tier(choice)
    # A bill is never above the estimate.
    offer = Offer(tier, estimate, estimate if cost is None else min(cost, estimate), made)
    settle_ms = first.reserve_ms if delivered is None else delivered.settle_ms
    work = _at(generation, first.reserve_ms, settle_ms, (offer,))
    return Workload(generation.create_ms, (work,))


def _work(generation: PastGeneration, attempt: PastAttempt, market: Market) -> Work | None:
    """Return an attempt as work; None if it never asked for anything."""
    if not attempt.options or (attempt.option_index is None and not attempt.denial):
        return None
    offers = tuple(
        _offer(generation, attempt, place, option, market)
        for place, option in enumerate(attempt.options)
    )
    end_ms = max(attempt.settle_ms, attempt.reserve_ms)
    return _at(generation, attempt.reserve_ms, end_ms, offers)


def _offer(
    generation: PastGeneration,
    attempt: PastAttempt,
    place: int,
    option: PastOption,
    market: Market,
) -> Offer:
    choice = Choice(option.provider, option.model, generation.request.size, option.quality)
    tier, count = market.tier(choice), generation.request.count
    if attempt.option is None:
        # What was denied has no bill: the most that it might have been.
        return Offer(tier, option.estimate, option.estimate, count)
    if not attempt.is_paid:
        return Offer(tier, option.estimate, 0, 0, is_paid=False)
    if place == attempt.option_index or option == attempt.option:
        return Offer(tier, option.estimate, attempt.actual, attempt.made)
    cost = market.cost(Made(generation, attempt, attempt.option), choice)
    actual = option.estimate if cost is None else min(cost, option.estimate)
    return Offer(tier, option.estimate, actual, attempt.made)


def _at(generation: PastGeneration, at_ms: int, end_ms: int, offers: tuple[Offer, ...]) -> Work:
    request = generation.request
    return Work(
        account=request.account,
        kind=request.kind,
        wanted=request.count,
        seconds=request.settings.seconds or 0,
        at_ms=at_ms,
        end_ms=max(end_ms, at_ms),
        offers=offers,
    )
