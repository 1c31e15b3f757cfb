"""The price catalogue: which models there are, and which of them a request gets.

The figures are in `catalogue.toml`. Errors of a lookup:

    CatalogueError
    ├── UnknownModel     no model of that name makes that kind
    ├── RetiredModel     the model has ended; it has a substitute
    └── NoLiveProvider   none of the providers that could make it is live
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from pathlib import Path

from generations.accepts import TAKEN_BY_ALL
from generations.catalogue_file import Defaults, parse
from generations.catalogue_tables import BadCatalogue
from generations.models import AUTO, MICROS_MAX, Embedding, Kind, Model, Quality, Status
from generations.settings import NO_SETTINGS, Settings

__all__ = [
    "AUTO",
    "MICROS_MAX",
    "BadCatalogue",
    "Catalogue",
    "CatalogueError",
    "Choice",
    "Kind",
    "Model",
    "NoLiveProvider",
    "Quality",
    "RetiredModel",
    "Status",
    "UnknownModel",
]

MODEL_NAME_LENGTH_MAX = 200
# The provider that makes nothing but placeholders.
SANDBOX = "sandbox"


class CatalogueError(Exception):
    """The root of what a lookup can answer other than its result."""


class UnknownModel(CatalogueError):
    """No model has that name. `near` has the names most like it."""

    def __init__(self, name: str, near: tuple[str, ...]) -> None:
        hint = f"Did you mean {' or '.join(near)}?" if near else "List the models to see the names."
        super().__init__(f"There is no model {name[:MODEL_NAME_LENGTH_MAX]!r}. {hint}")
        self.name = name
        self.near = near


class RetiredModel(CatalogueError):
    """The model has ended. `substitute` may be used in its place."""

    def __init__(self, name: str, substitute: str, retire_date: date) -> None:
        super().__init__(f"The model {name!r} was retired on {retire_date}. Use {substitute!r}.")
        self.name = name
        self.substitute = substitute
        self.retire_date = retire_date


class NoLiveProvider(CatalogueError):
    """None of the providers that could make it is live. `providers` has those that could."""

    def __init__(self, wanted: str, providers: tuple[str, ...]) -> None:
        names = ", ".join(providers)
        super().__init__(
            f"No live provider makes {wanted}. "
            + (
                f"Give a worker the key of one of: {names}."
                if names
                else "Name a model, or ask for another size or other settings."
            )
        )
        self.providers = providers


@dataclass(frozen=True, slots=True)
class Choice:
    """A model and the quality to ask it for, and the quality class that this is of."""

    model: Model
    quality: str
    tier: Quality


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every model, in the file's order, and the candidates for a request that names none."""

    _models: tuple[Model, ...]
    _defaults: Defaults
    _embeddings: tuple[Embedding, ...]
    as_of: date | None  # when its facts were looked up, and those of an operator's file

    @classmethod
    def parse(cls, text: str, name: str) -> Catalogue:
        """Return the catalogue of a file's text; `name` is the file's, for errors.

        Raises BadCatalogue.
        """
        return cls(*parse(text, name))

    @staticmethod
    @cache
    def load(path: Path | None = None) -> Catalogue:
        """Return the catalogue that this package carries, changed by an operator's file; read once.

        Each model and each default of the file takes the place of the package's, or is new.
        Raises BadCatalogue.
        """
        file = resources.files("generations").joinpath("catalogue.toml")
        ours = parse(file.read_text(encoding="utf-8"), file.name)
        if path is None:
            return Catalogue(*ours)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadCatalogue(f"{path} can't be read: {error}.") from error
        return Catalogue(*parse(text, path.name, ours))

    def models(self, kind: str | None = None) -> tuple[Model, ...]:
        """Return the models of a kind, or all."""
        return tuple(model for model in self._models if kind in (None, model.kind))

    def find(self, name: str, *, today: date) -> Model:
        """Return the model of that name. Raises UnknownModel, or RetiredModel as of `today`."""
        for model in self._models:
            if model.name == name:
                return self._usable(model, today)
        raise UnknownModel(name, self._near(name, self._models))

    def embedding(self, name: str) -> Embedding:
        """Return the model of that name that makes vectors. Raises UnknownModel."""
        for made in self._embeddings:
            if made.name == name:
                return made
        raise UnknownModel(name, ())

    def choices(
        self,
        kind: str,
        quality: str,
        model: str,
        live_providers: Collection[str],
        today: date,
        *,
        size: str = "",
        count: int = 1,
        settings: Settings = NO_SETTINGS,
        without: Collection[str] = (),
    ) -> list[Choice]:
        """Return what may be made of a request, best first: the options of its Reserve.

        With a model, that alone. Without one, for `premium` the first live candidate and then, if
        there is one, the first live standard one; for `standard` only the latter. A candidate that
        has no price at `size`, if one is given, or does not take the settings is passed over, and
        so are the providers named by `without`: those that have failed. The sandbox stands in only
        where no other default provider of the kind is live: nobody who asks for the real thing is
        given a placeholder, and charged for it, because the real ones fail. Raises UnknownModel,
        RetiredModel, NoLiveProvider.
        """
        live = set(live_providers) - set(without)
        if model:
            found = self.find(model, today=today)
            if found.kind != kind:
                raise UnknownModel(model, self._near(model, self.models(kind)))
            if found.provider not in live:
                raise NoLiveProvider(f"the model {model!r}", (found.provider,))
            asked = quality or found.default_quality
            return [Choice(found, asked, self.tier(found, asked))]
        wanted = Quality(quality or Quality.PREMIUM)
        classes = [wanted] if wanted is Quality.STANDARD else [wanted, Quality.STANDARD]
        if any_real := self._default_providers(kind) & set(live_providers) != {SANDBOX}:
            live.discard(SANDBOX)
        able = {
            quality_class: [
                candidate
                for candidate in self._candidates(Kind(kind), quality_class, today, size)
                if not candidate.model.accepts.refusals(settings, count)
            ]
            for quality_class in classes
        }
        firsts = [
            next((candidate for candidate in found if candidate.model.provider in live), None)
            for found in able.values()
        ]
        if firsts[0] is None:
            # What can't be had as asked for is refused, not quietly made in a lesser quality.
            providers = dict.fromkeys(candidate.model.provider for candidate in able[wanted])
            if any_real:
                providers.pop(SANDBOX, None)
            raise NoLiveProvider(_described(wanted, kind, size, settings), tuple(providers))
        return [choice for choice in firsts if choice is not None]

    def tier(self, model: Model, quality: str) -> Quality:
        """Return the class of what a model makes in a quality: that of the defaults, or its word.

        Words of the providers' own that no default has are premium, but for `medium` and `low`.
        """
        classes = {
            quality_class
            for (_, quality_class), candidates in self._defaults.items()
            if (model, quality) in candidates
        }
        if classes:
            return Quality.STANDARD if Quality.STANDARD in classes else Quality.PREMIUM
        lesser = quality in (Quality.STANDARD, "medium", "low")
        return Quality.STANDARD if lesser else Quality.PREMIUM

    def takers(self, kind: str, settings: Settings, count: int = 1) -> tuple[str, ...]:
        """Return the default models that take the settings, for a request that names none."""
        return tuple(
            dict.fromkeys(
                model.name
                for (candidates_kind, _), candidates in self._defaults.items()
                if candidates_kind == kind
                for model, _ in candidates
                if not model.accepts.refusals(settings, count)
            )
        )

    def default_sizes(self, kind: str) -> tuple[str, ...]:
        """Return the sizes that a request which names no model may have."""
        return tuple(
            dict.fromkeys(
                size
                for (candidates_kind, _), candidates in self._defaults.items()
                if candidates_kind == kind
                for model, _ in candidates
                for size in model.sizes
            )
        )

    def _default_providers(self, kind: str) -> set[str]:
        return {
            model.provider
            for (candidates_kind, _), candidates in self._defaults.items()
            if candidates_kind == kind
            for model, _ in candidates
        }

    def _candidates(
        self, kind: Kind, quality_class: Quality, today: date, size: str
    ) -> Iterator[Choice]:
        for model, quality in self._defaults.get((kind, quality_class), ()):
            priced = not size or model.is_priced(size=size, quality=quality)
            if priced and model.status_on(today) is not Status.RETIRED:
                yield Choice(model, quality, quality_class)

    @staticmethod
    def _usable(model: Model, today: date) -> Model:
        if model.status_on(today) is Status.RETIRED:
            assert model.retire_date is not None, "the reader asks for it"
            raise RetiredModel(model.name, model.substitute, model.retire_date)
        return model

    @staticmethod
    def _near(name: str, models: Collection[Model]) -> tuple[str, ...]:
        # Comparing takes the time of both lengths: a caller's text of any length is cut first.
        names = [model.name for model in models if model.status is not Status.RETIRED]
        return tuple(difflib.get_close_matches(name[:MODEL_NAME_LENGTH_MAX], names, n=3))


def _described(quality: Quality, kind: str, size: str, settings: Settings) -> str:
    """Return what was wanted, such as `a premium image 512x512 with seed`."""
    used = " and ".join(name for name in settings.encode() if name not in TAKEN_BY_ALL)
    return " ".join(part for part in (f"a {quality} {kind}", size, used and f"with {used}") if part)
