"""What a generation would have cost otherwise: by the pricing function, and never too little.

Of what the provider has billed, that part is kept which would have been the same; the rest is the
upper bound that a Reserve would have held. So a saving that is told is the least that it would have
been.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import date
from functools import cached_property

from authority.domain.insights.facts import Made
from authority.domain.insights.insight import Choice
from generations.catalogue import SANDBOX, Catalogue, CatalogueError
from generations.models import Kind, Model, Quality, Status
from generations.pricing import Unpriced, Usage, price
from generations.requests import GenerationRequest
from generations.settings import NO_SETTINGS

_SIZE = re.compile(r"(\d+)x(\d+)")
_RESOLUTION = re.compile(r"(\d+)(p|k)")


_Shape = tuple[Kind, int, tuple[str, ...], str, int, int | None, int | None]


class Market:
    """The models that there are on a day, at the providers that are live."""

    def __init__(self, catalogue: Catalogue, live_providers: Collection[str], today: date) -> None:
        self._catalogue = catalogue
        self._live = frozenset(live_providers)
        self._today = today
        # The same few questions are asked of thousands of rows.
        self._tiers: dict[tuple[str, str], Quality] = {}
        self._others: dict[tuple[str, str, str, _Shape], list[Choice]] = {}
        self._by_class: dict[tuple[Quality, str, _Shape], Choice | None] = {}

    @cached_property
    def _by_name(self) -> dict[str, Model]:
        return {model.name: model for model in self._catalogue.models()}

    @cached_property
    def _lasting(self) -> dict[Kind, list[Model]]:
        """What may be suggested: what lasts, has a published price, and makes rather than prints.

        An estimated price would make a saving up.
        """
        return {
            kind: [
                model
                for model in self._catalogue.models(kind)
                if model.provider in self._live
                and model.status_on(self._today) is Status.LIVE
                and not model.estimated
                and makes(model)
            ]
            for kind in Kind
        }

    def model(self, name: str) -> Model | None:
        """Return a model, also one that has ended."""
        return self._by_name.get(name)

    def status(self, model: Model) -> Status:
        """Return the status of a model today."""
        return model.status_on(self._today)

    def others(self, made: Made) -> list[Choice]:
        """Return what else could have made a generation at the same size, no worse by its class.

        That is at the same word for the quality, or of the same class of the catalogue. The sandbox
        stands for nothing but itself.
        """
        own, request = self.model(made.option.model), made.request
        if own is None or not makes(own):
            return []
        key = own.name, made.option.quality, request.size, _shape(request)
        found = self._others.get(key)
        if found is None:
            tier = self._tier(own, made.option.quality)
            found = self._others[key] = [
                Choice(model.provider, model.name, request.size, quality)
                for model in self._lasting[request.kind]
                if model.name != own.name
                and (model.provider == SANDBOX) == (own.provider == SANDBOX)
                and (quality := self.same_quality(model, made.option.quality, tier)) is not None
                and not model.accepts.refusals(request.settings, request.count)
            ]
        return found

    def standard(self, made: Made) -> Choice | None:
        """Return what a request without a model would have got, had it asked for `standard`."""
        choice = self.by_class(made.request, Quality.STANDARD)
        model = self.model(choice.model) if choice else None
        if choice is None or model is None or model.estimated:
            return None
        is_sandbox = model.provider == SANDBOX
        return choice if is_sandbox == (made.option.provider == SANDBOX) else None

    def by_class(self, request: GenerationRequest, tier: Quality) -> Choice | None:
        """Return what a request without a model gets in a class; None if there is nothing."""
        key = tier, request.size, _shape(request)
        if key not in self._by_class:
            self._by_class[key] = self._find(request, tier)
        return self._by_class[key]

    def _find(self, request: GenerationRequest, tier: Quality) -> Choice | None:
        try:
            first, *_ = self._catalogue.choices(
                request.kind,
                tier,
                "",
                self._live,
                self._today,
                size=request.size,
                count=request.count,
                settings=request.settings,
            )
        except CatalogueError:
            return None
        return Choice(first.model.provider, first.model.name, request.size, first.quality)

    def tier(self, choice: Choice) -> str:
        """Return the class of a choice: the quality itself where the model is unknown."""
        model = self.model(choice.model)
        return choice.quality if model is None else self._tier(model, choice.quality)

    def estimate(self, request: GenerationRequest, choice: Choice) -> int | None:
        """Return what a Reserve would hold for a request by a choice; None without a price."""
        return self._price(request, choice, None)

    def cost(self, made: Made, choice: Choice) -> int | None:
        """Return the most that a generation would have cost by another choice.

        None where there is no price for it.
        """
        return self._price(made.request, choice, made.elsewhere)

    def _price(self, request: GenerationRequest, choice: Choice, usage: Usage | None) -> int | None:
        model = self.model(choice.model)
        if model is None:
            return None
        try:
            return price(
                model,
                size=choice.size,
                quality=choice.quality,
                count=request.count,
                prompt=request.prompt,
                settings=request.settings,
                usage=usage,
            )
        except (Unpriced, OverflowError, KeyError):
            return None

    def _tier(self, model: Model, quality: str) -> Quality:
        key = model.name, quality
        if key not in self._tiers:
            self._tiers[key] = self._catalogue.tier(model, quality)
        return self._tiers[key]

    def same_quality(self, model: Model, quality: str, tier: str) -> str | None:
        """Return the same word for the quality, or else the first of the same class."""
        if quality in model.qualities:
            return quality
        same = (word for word in model.qualities if self._tier(model, word) == tier)
        return next(same, None)


def _shape(request: GenerationRequest) -> _Shape:
    """Return all of a request that models look at to take it, beside its size."""
    settings = request.settings
    names = () if settings == NO_SETTINGS else tuple(settings.encode())
    return (
        request.kind,
        request.count,
        names,
        settings.output_format,
        len(settings.references),
        settings.steps,
        settings.seconds,
    )


def makes(model: Model) -> bool:
    """Say whether a model makes anything: a print only reproduces what it is given."""
    return not model.accepts.reference_each


def used_by(made: Made) -> Choice:
    """Return what a generation was made by."""
    option = made.option
    return Choice(option.provider, option.model, made.request.size, option.quality)


def extent(size: str) -> int | None:
    """Return how large a size is, to compare it with others; None for a word such as `auto`."""
    if found := _SIZE.fullmatch(size):
        return int(found[1]) * int(found[2])
    if found := _RESOLUTION.fullmatch(size):
        return int(found[1]) * (540 if found[2] == "k" else 1)
    return None


def has_same_shape(size: str, other: str) -> bool:
    """Say whether two sizes have the same proportions; those of videos all have."""
    a, b = _SIZE.fullmatch(size), _SIZE.fullmatch(other)
    if a is None or b is None:
        return a is b
    return int(a[1]) * int(b[2]) == int(a[2]) * int(b[1])
