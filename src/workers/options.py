"""What may be made of a request, and for how much at most."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from generations.catalogue import (
    Catalogue,
    CatalogueError,
    NoLiveProvider,
    Quality,
    RetiredModel,
    UnknownModel,
)
from generations.pricing import Unpriced, price
from generations.requests import GenerationRequest
from workers.rows import Failure, Option

_REASONS = {
    NoLiveProvider: "no_live_provider",
    RetiredModel: "model_retired",
    UnknownModel: "unknown_model",
}


class NoOption(Exception):
    """The request can't be made, as things are; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def priced_options(
    catalogue: Catalogue,
    request: GenerationRequest,
    providers: Collection[str],
    today: date,
    *,
    without: Collection[str] = (),
    tier: str = "",
) -> list[Option]:
    """Return the options of a request's Reserve, best first.

    Providers named by `without` are passed over: those that have failed. No option is above `tier`,
    if that is one. Raises NoOption.
    """
    is_bound = tier == Quality.STANDARD
    quality = Quality.STANDARD if is_bound and not request.model else request.quality
    try:
        found = [
            Option(
                choice.model.provider,
                choice.model.name,
                choice.quality,
                price(
                    choice.model,
                    size=request.size,
                    quality=choice.quality,
                    count=request.count,
                    prompt=request.prompt,
                    settings=request.settings,
                ),
                choice.tier,
            )
            for choice in catalogue.choices(
                request.kind,
                quality,
                request.model,
                providers,
                today,
                size=request.size,
                count=request.count,
                settings=request.settings,
                without=without,
            )
        ]
    except (CatalogueError, Unpriced, OverflowError) as error:
        raise NoOption(Failure(_REASONS.get(type(error), "unpriced"), str(error))) from error
    if is_bound and any(option.tier != tier for option in found):
        raise NoOption(
            Failure("plan_tier", f"The plan of the account has no models above {tier}, as this is.")
        )
    return found


def wanted_tier(request: GenerationRequest) -> str:
    """Return the quality class that a request asks for; '' for one that names its model."""
    return "" if request.model else request.quality or Quality.PREMIUM
