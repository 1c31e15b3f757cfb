"""What may be made of a request, and for how much at most."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from clients.amounts import Leg, Unit
from generations.catalogue import (
    Catalogue,
    CatalogueError,
    Kind,
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


_COUNTED_IN = {Kind.IMAGE: Unit.IMAGES, Kind.CHAT: Unit.MESSAGES, Kind.VIDEO: Unit.VIDEOS}


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
) -> list[Option]:
    """Return the options of a request's Reserve, best first.

    Providers named by `without` are passed over: those that have failed. Raises NoOption.
    """
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
                    settings=request.settings,
                ),
            )
            for choice in catalogue.choices(
                request.kind,
                request.quality,
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


def legs(kind: Kind, micros: int, made: int) -> tuple[Leg, Leg]:
    """Return what a Reserve holds, and a Commit pays, for so many: money and count."""
    return Leg(Unit.USD, micros), Leg(_COUNTED_IN[kind], made)
