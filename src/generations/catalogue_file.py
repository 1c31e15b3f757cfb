"""Reads and checks the catalogue's file; a fault is told with its entry and key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from types import MappingProxyType
from typing import NamedTuple

from generations.accepts import Accepts
from generations.catalogue_tables import BadCatalogue, Table
from generations.models import AUTO, Embedding, Kind, Model, Quality, Status

PIXELS_PER_MEGAPIXEL = 1_000_000
SIZE = re.compile(r"([1-9]\d{1,4})x([1-9]\d{1,4})")
# Of a print, by ISO 216.
SHEET = re.compile(r"A\d")

# The kinds of token that have a rate: the one that each is charged as if it has none of its own.
_TOKENS: Mapping[Kind, Mapping[str, str | None]] = {
    Kind.IMAGE: {
        "text_input": None,
        "cached_text_input": "text_input",
        "image_input": None,
        "cached_image_input": "image_input",
        "image_output": None,
        "text_output": "image_output",
    },
    Kind.CHAT: {
        "input": None,
        "cached_input": "input",
        "cache_write_input": "input",
        "output": None,
    },
    Kind.VIDEO: {},
}
# What costs more than what it stands for; an estimate counts it.
_DEARER_TOKENS = {"cache_write_input"}
# The settings that a model may take and that have no bounds of their own.
_SETTINGS = {
    Kind.IMAGE: {"negative_prompt", "seed", "mask"},
    Kind.CHAT: {"system", "messages", "temperature", "seed"},
    Kind.VIDEO: {"negative_prompt", "seed"},
}
OUTPUT_FORMATS = ("png", "webp", "jpeg")
_CONFIDENCES = ("high", "medium", "low")

# Per kind and quality class the ordered candidates: model and quality.
Defaults = Mapping[tuple[Kind, Quality], tuple[tuple[Model, str], ...]]


class Parsed(NamedTuple):
    """What a catalogue's file says."""

    models: tuple[Model, ...]
    defaults: Defaults
    embeddings: tuple[Embedding, ...]
    as_of: date | None  # when its facts were looked up


def parse(text: str, name: str, base: Parsed | None = None) -> Parsed:
    """Return what a catalogue in TOML says; `name` is its name in errors.

    What it says takes the place of what `base` says of the same models and defaults; a file on top
    of another one may have no model, or no default, of its own. Raises BadCatalogue.
    """
    try:
        file = Table(name, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise BadCatalogue(f"{name}: is not TOML: {error}.") from error
    own: dict[str, Model] = {}
    for number, data in enumerate(file.tables("model", required=base is None), start=1):
        table = Table(f"{name}: model {number}", data)
        model = _model(table)
        if model.name in own:
            raise table.fault("model", f"{model.name!r} is listed twice.")
        own[model.name] = model
    models = {model.name: model for model in base.models} | own if base else own
    for model in models.values():
        _check_substitute(Table(f"{name}: model {model.name!r}", {}), model, models)
    defaults = _defaults(file, name, models, required=base is None)
    if base:
        # The base's own candidates may have been replaced.
        defaults = _with_models(base.defaults, models) | defaults
    for kind in {kind for kind, _ in defaults}:
        for quality in Quality:
            if (kind, quality) not in defaults:
                raise file.fault("default", f"the {quality} candidates for {kind} are missing.")
    embeddings = {made.name: made for made in base.embeddings} if base else {}
    embeddings |= _embeddings(file, name)
    days = [day for day in (file.day("as_of"), base and base.as_of) if day]
    file.end()
    return Parsed(
        tuple(models.values()),
        MappingProxyType(defaults),
        tuple(embeddings.values()),
        max(days, default=None),
    )


def _defaults(
    file: Table, name: str, models: Mapping[str, Model], *, required: bool
) -> dict[tuple[Kind, Quality], tuple[tuple[Model, str], ...]]:
    defaults: dict[tuple[Kind, Quality], tuple[tuple[Model, str], ...]] = {}
    for number, data in enumerate(file.tables("default", required=required), start=1):
        table = Table(f"{name}: default {number}", data)
        key = (table.one_of("kind", Kind), table.one_of("quality", Quality))
        if key in defaults:
            raise table.fault("quality", f"{key[0]} {key[1]} is listed twice.")
        defaults[key] = tuple(_candidates(table, key[0], models))
        table.end()
    return defaults


def _embeddings(file: Table, name: str) -> dict[str, Embedding]:
    """Return the models that make vectors, by name; a file may have none."""
    embeddings: dict[str, Embedding] = {}
    for number, data in enumerate(file.tables("embedding", required=False), start=1):
        table = Table(f"{name}: embedding {number}", data)
        made = Embedding(
            provider=table.text("provider"),
            name=table.text("model"),
            dimensions_max=table.number("dimensions_max"),
            micros_per_million_tokens=table.micros("micros_per_million_tokens"),
            sources=table.texts("sources"),
        )
        if not made.dimensions_max:
            raise table.fault("dimensions_max", "must be given.")
        if made.name in embeddings:
            raise table.fault("model", f"{made.name!r} is listed twice.")
        embeddings[made.name] = made
        table.end()
    return embeddings


def _with_models(
    defaults: Defaults, models: Mapping[str, Model]
) -> dict[tuple[Kind, Quality], tuple[tuple[Model, str], ...]]:
    """Return defaults with the models as they are now, without those that have no such quality."""
    return {
        key: tuple(
            (models[model.name], quality)
            for model, quality in candidates
            if quality in models[model.name].qualities
        )
        for key, candidates in defaults.items()
    }


def _model(table: Table) -> Model:
    name = table.text("model")
    table.label = f"{table.label} {name!r}"
    kind = table.one_of("kind", Kind)
    confidence = table.text("confidence")
    if confidence not in _CONFIDENCES:
        raise table.fault("confidence", f"must be one of: {', '.join(_CONFIDENCES)}.")
    prices = _image_prices(table, kind)
    token_rates = _token_rates(table.table("micros_per_million_tokens"), kind)
    per_second = _amounts(table.table("micros_per_second"))
    priced = bool(prices.grid if kind is Kind.IMAGE else token_rates or per_second)
    model = Model(
        provider=table.text("provider"),
        name=name,
        kind=kind,
        status=table.one_of("status", Status),
        retire_date=table.day("retire_date"),
        substitute=table.text("substitute", required=False),
        note=table.text("note", required=False),
        sources=table.texts("sources"),
        confidence=confidence,
        estimated=table.flag("estimated"),
        accepts_auto=table.flag("accepts_auto"),
        default_quality=_default_quality(table, kind, priced=priced),
        micros_per_image=prices.grid,
        micros_per_megapixel=prices.per_megapixel,
        micros_per_million_tokens=token_rates,
        micros_per_second=per_second,
        micros_per_compute_second=prices.per_compute_second,
        priced_steps=table.number("priced_steps") or None,
        tokens_per_reference=table.number("tokens_per_reference"),
        negative_in_prompt=table.flag("negative_in_prompt"),
        accepts=_accepts(table.table("accepts"), kind),
    )
    if model.default_quality and model.default_quality not in model.qualities:
        raise table.fault("default_quality", f"must be one of: {', '.join(model.qualities)}.")
    if model.micros_per_second and kind is not Kind.VIDEO:
        raise table.fault("micros_per_second", f"is no price of a model of kind {kind}.")
    if model.priced_steps and not model.accepts.steps_max:
        raise table.fault("priced_steps", "needs accepts.steps_max.")
    counts_references = model.accepts.references_max and "image_input" in token_rates
    if counts_references and not model.tokens_per_reference:
        raise table.fault("tokens_per_reference", "must be given, as an estimate has to count it.")
    table.end()
    return model


def _default_quality(table: Table, kind: Kind, *, priced: bool) -> str:
    """Return the quality that is meant by none; that of a chat or video model is its class."""
    if kind is Kind.IMAGE or not priced:
        return table.text("default_quality", required=priced)
    return table.one_of("default_quality", Quality)


def _accepts(table: Table, kind: Kind) -> Accepts:
    """Return which settings a model takes."""
    accepts = Accepts(
        settings=frozenset(table.words("settings", _SETTINGS[kind])),
        output_formats=table.words("output_formats", OUTPUT_FORMATS),
        references_max=table.number("references_max"),
        reference_each=table.flag("reference_each"),
        steps_max=table.number("steps_max"),
        seconds_min=table.number("seconds_min"),
        seconds_max=table.number("seconds_max"),
        count_max=table.number("count_max"),
    )
    table.end()
    if accepts.seconds_max < accepts.seconds_min:
        raise table.fault("seconds_max", "must not be below seconds_min.")
    return accepts


class _ImagePrices(NamedTuple):
    """The price of an image by quality and size, and that of what its bill may be counted in."""

    grid: Mapping[str, Mapping[str, int]]
    per_megapixel: int | None
    per_compute_second: int | None


def _image_prices(table: Table, kind: Kind) -> _ImagePrices:
    grid_table = table.table("micros_per_image")
    grid = {quality: _amounts(grid_table.table(quality)) for quality in grid_table.names()}
    per_megapixel, per_compute_second = None, None
    for key in ("micros_per_megapixel", "micros_per_compute_second"):
        if key in table.names() and grid:
            raise table.fault(key, "can't stand beside another price of an image.")
        if key not in table.names():
            continue
        rate, sizes = table.micros(key), table.texts("sizes")
        if key == "micros_per_megapixel":
            per_megapixel = rate
            row = {size: rate * _megapixels(table, size) for size in sizes}
        else:
            per_compute_second = rate
            row = dict.fromkeys(sizes, rate * table.micros("compute_seconds_max"))
        grid = dict.fromkeys(table.texts("qualities"), MappingProxyType(row))
    if grid and kind is not Kind.IMAGE:
        raise table.fault("micros_per_image", f"is no price of a model of kind {kind}.")
    for quality, prices in grid.items():
        if quality == AUTO or not prices:
            raise grid_table.fault(
                quality, "must be a quality with the price of at least one size."
            )
        for size in prices:
            if not SHEET.fullmatch(size):
                _megapixels(grid_table, size)
    return _ImagePrices(MappingProxyType(grid), per_megapixel, per_compute_second)


def _megapixels(table: Table, size: str) -> int:
    """Return the megapixels of a size, a part of one counted as one; refuse what is no size."""
    match = SIZE.fullmatch(size)
    if match is None:
        raise table.fault(size, "is no size; one looks like 1024x1024.")
    return -(-int(match[1]) * int(match[2]) // PIXELS_PER_MEGAPIXEL)


def _amounts(table: Table) -> Mapping[str, int]:
    return MappingProxyType({key: table.micros(key) for key in table.names()})


def _token_rates(table: Table, kind: Kind) -> Mapping[str, int]:
    """Return a rate for every kind of token, or none at all."""
    given = _amounts(table)
    rates: dict[str, int] = {}
    if not given:
        return MappingProxyType(rates)
    for token, stand_in in _TOKENS[kind].items():
        if token not in given and stand_in is None:
            raise table.fault(token, "is missing.")
        rates[token] = given[token] if token in given else given[str(stand_in)]
        # An estimate takes the stand-in's rate, and has to be an upper bound.
        if stand_in is not None and token not in _DEARER_TOKENS and rates[token] > given[stand_in]:
            raise table.fault(token, f"must not be above {stand_in}.")
    for token in given:
        if token not in rates:
            raise table.fault(token, f"is no kind of token of a model of kind {kind}.")
    return MappingProxyType(rates)


def _check_substitute(table: Table, model: Model, models: Mapping[str, Model]) -> None:
    if (model.status is Status.LIVE) != (model.retire_date is None):
        raise table.fault("retire_date", f"does not go with the status {model.status}.")
    if not model.substitute:
        if model.status is not Status.LIVE:
            raise table.fault("substitute", f"must be given, as the model is {model.status}.")
        return
    other = models.get(model.substitute)
    if other is None or other.kind is not model.kind or other.status is not Status.LIVE:
        raise table.fault(
            "substitute", f"{model.substitute!r} is no live {model.kind} model of this file."
        )


def _candidates(
    table: Table, kind: Kind, models: Mapping[str, Model]
) -> Iterable[tuple[Model, str]]:
    for number, data in enumerate(table.tables("candidates"), start=1):
        candidate = Table(f"{table.label}: candidate {number}", data)
        name, quality = candidate.text("model"), candidate.text("quality")
        candidate.end()
        model = models.get(name)
        if model is None or model.kind is not kind or model.status is Status.RETIRED:
            raise candidate.fault("model", f"{name!r} is no usable {kind} model of this file.")
        if quality not in model.qualities:
            raise candidate.fault(
                "quality", f"is {quality!r}; {name} has: {', '.join(model.qualities) or 'none'}."
            )
        yield model, quality
