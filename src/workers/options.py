"""What may be made of a request, and for how much at most."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from generations.catalogue import (
    Catalogue,
    CatalogueError,
    NoLiveProvider,
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
    catalogue: Catalogue, request: GenerationRequest, providers: Collection[str], today: date
) -> list[Option]:
    """Return the options of a request's Reserve, best first. Raises NoOption."""
    try:
        return [
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
                ),
            )
            for choice in catalogue.choices(
                request.kind,
                request.quality,
                request.model,
                providers,
                today,
                size=request.size,
            )
        ]
    except (CatalogueError, Unpriced, OverflowError) as error:
        raise NoOption(Failure(_REASONS.get(type(error), "unpriced"), str(error))) from error
