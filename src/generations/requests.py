"""What a request for a generation must look like, and when two requests are the same.

The names of the fields are those of SubmitGenerationRequest. The account's form is checked by
whoever owns the accounts, and the idempotency key by whoever keeps the answers.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from generations.catalogue import (
    AUTO,
    Catalogue,
    Kind,
    Model,
    Quality,
    RetiredModel,
    Status,
    UnknownModel,
)
from generations.catalogue_file import SIZE
from generations.pricing import MAX_TOKENS_DEFAULT, SECONDS_DEFAULT, price
from generations.setting_checks import check_model_settings, check_settings
from generations.settings import NO_SETTINGS, Settings
from generations.violations import InvalidRequest, Violation, check_text, quote

__all__ = [
    "GenerationRequest",
    "InvalidRequest",
    "Violation",
    "canonical",
    "differing_fields",
    "retirement_warning",
    "stored_request",
    "validate_request",
]

PROMPT_LENGTH_MAX = 32_000
COUNT_MAX = 10
DEFAULT_SIZE = "1024x1024"
# Of videos, where the model has it; a standard one has to be cheaper than that.
_RESOLUTIONS = {Quality.PREMIUM: "720p", Quality.STANDARD: "480p"}
_RESOLUTION = re.compile(r"[1-9]\d{2,3}p|[1-9]k")


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A checked request, defaults filled in. `model` is empty where the catalogue is to choose."""

    account: str
    kind: Kind
    prompt: str
    model: str
    size: str
    quality: str
    count: int
    settings: Settings = NO_SETTINGS


def stored_request(row: Mapping[str, Any]) -> GenerationRequest:
    """Return the request of a generation from its row, by the names that the columns have."""
    return GenerationRequest(
        account=row["account"],
        kind=Kind(row["kind"]),
        prompt=row["prompt"],
        model=row["requested_model"],
        size=row["size"],
        quality=row["quality"],
        count=row["count"],
        settings=Settings.decode(row["settings"]),
    )


def validate_request(
    *,
    account: str,
    prompt: str,
    catalogue: Catalogue,
    today: date,
    kind: str = "",
    model: str = "",
    size: str = "",
    quality: str = "",
    count: int = 1,
    settings: Settings = NO_SETTINGS,
) -> GenerationRequest:
    """Return the request with its defaults filled in: what is empty was not set.

    Raises InvalidRequest with every violation; if there is none, RetiredModel or Unpriced for a
    model that can't be used.
    """
    found, refusal = _look_up(catalogue, model, today)
    known_kind = Kind(kind) if kind in tuple(Kind) else Kind.IMAGE
    quality = quality or (found.default_quality if found else "") or Quality.PREMIUM.value
    request = GenerationRequest(
        account=account,
        kind=known_kind,
        prompt=prompt,
        model=model,
        size=size or _default_size(known_kind, found, quality),
        quality=quality,
        count=count,
        settings=_with_defaults(known_kind, settings),
    )
    violations = (
        *_check_kind(kind),
        *_check_prompt(prompt),
        *_check_choice(request, catalogue, found, refusal),
        *_check_count(count),
        *_check_settings(request, catalogue, found, refusal, asked=settings),
    )
    if violations:
        raise InvalidRequest(violations)
    if refusal is not None:
        raise refusal
    if found is not None:
        price(
            found,
            size=request.size,
            quality=request.quality,
            count=count,
            prompt=prompt,
            settings=request.settings,
        )
    return request


def retirement_warning(catalogue: Catalogue, request: GenerationRequest, today: date) -> str:
    """Return what is to be said of a model that ends soon; empty if there is nothing."""
    model, _ = _look_up(catalogue, request.model, today)
    if model is None or model.status_on(today) is not Status.RETIRING:
        return ""
    return (
        f"The model {model.name!r} ends on {model.retire_date}. Use {model.substitute!r} from now."
    )


def canonical(request: GenerationRequest) -> dict[str, Any]:
    """Return the fields that make two requests the same, fit for JSON."""
    fields = {field.name: getattr(request, field.name) for field in dataclasses.fields(request)}
    return fields | {"kind": request.kind.value, "settings": request.settings.encode()}


def differing_fields(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the fields in which two canonical requests differ."""
    names = dict.fromkeys([*first, *second])
    return tuple(name for name in names if first.get(name) != second.get(name))


def _look_up(
    catalogue: Catalogue, model: str, today: date
) -> tuple[Model | None, UnknownModel | RetiredModel | None]:
    """Return the model named, or why it can't be had; neither, if none is named."""
    if not model:
        return None, None
    try:
        return catalogue.find(model, today=today), None
    except (UnknownModel, RetiredModel) as error:
        return None, error


def _default_size(kind: Kind, model: Model | None, quality: str) -> str:
    """Return the size that is meant by none. A chat has no size."""
    if kind is Kind.CHAT:
        return ""
    if kind is Kind.IMAGE:
        if model is None or not model.sizes or DEFAULT_SIZE in model.sizes:
            return DEFAULT_SIZE
        return model.sizes[0]
    usual = _RESOLUTIONS.get(Quality(quality)) if quality in tuple(Quality) else None
    resolution = usual or _RESOLUTIONS[Quality.PREMIUM]
    if model is None or not model.sizes or resolution in model.sizes:
        return resolution
    return model.sizes[0]


def _with_defaults(kind: Kind, settings: Settings) -> Settings:
    """Fill in what bounds the price, so that every request says it."""
    if kind is Kind.CHAT and settings.max_tokens is None:
        return dataclasses.replace(settings, max_tokens=MAX_TOKENS_DEFAULT)
    if kind is Kind.VIDEO and settings.seconds is None:
        return dataclasses.replace(settings, seconds=SECONDS_DEFAULT)
    return settings


def _check_choice(
    request: GenerationRequest,
    catalogue: Catalogue,
    model: Model | None,
    refusal: UnknownModel | RetiredModel | None,
) -> list[Violation]:
    """Check model, size and quality, which depend on one another."""
    if refusal is not None:
        form = _check_size(request, (), auto=True)
        unknown = isinstance(refusal, UnknownModel)
        return [Violation("model", str(refusal)), *form] if unknown else form
    if model is None:
        sizes = catalogue.default_sizes(request.kind)
        return [
            *_check_size(request, sizes, auto=False),
            *_check_quality(request.quality, tuple(Quality), auto=False),
        ]
    if model.kind != request.kind:
        return [Violation("model", f"{model.name!r} makes {model.kind}, not {request.kind}.")]
    return [
        *_check_size(request, model.sizes, auto=model.accepts_auto),
        *_check_quality(request.quality, model.qualities, auto=model.accepts_auto),
    ]


def _check_settings(
    request: GenerationRequest,
    catalogue: Catalogue,
    model: Model | None,
    refusal: UnknownModel | RetiredModel | None,
    *,
    asked: Settings,
) -> list[Violation]:
    """Check the settings, by the kind first: what no model takes is not told of this one."""
    found = check_settings(
        request.kind, request.settings, account=request.account, prompt=request.prompt
    )
    if found or refusal is not None or (model is not None and model.kind is not request.kind):
        return found
    # Of a request that names no model, what was asked for decides which defaults can take it.
    settings = request.settings if model is not None else asked
    return check_model_settings(catalogue, request.kind, model, settings, request.count)


def _check_count(count: int) -> list[Violation]:
    if 1 <= count <= COUNT_MAX:
        return []
    return [Violation("count", f"is {count}; must be 1 to {COUNT_MAX}.")]


def _check_kind(kind: str) -> list[Violation]:
    if not kind or kind in tuple(Kind):
        return []
    return [Violation("kind", f"{quote(kind)} is unknown; must be: {', '.join(Kind)}.")]


def _check_prompt(prompt: str) -> list[Violation]:
    if not prompt.strip():
        return [Violation("prompt", "is empty; say what the generation shall show.")]
    return check_text("prompt", prompt, PROMPT_LENGTH_MAX)


def _check_size(
    request: GenerationRequest, sizes: tuple[str, ...], *, auto: bool
) -> list[Violation]:
    """Check the form, and the sizes where any have a price: a model without is Unpriced."""
    size = request.size
    if request.kind is Kind.CHAT:
        return [Violation("size", "is not for chat; leave it out.")] if size else []
    if request.kind is Kind.VIDEO:
        if not _RESOLUTION.fullmatch(size):
            message = f"{quote(size)} is no resolution; one looks like 720p."
            return [Violation("size", message)]
    elif size == AUTO and auto:
        return []
    elif size != AUTO and size not in sizes and not SIZE.fullmatch(size):
        return [Violation("size", f"{quote(size)} is no size; one looks like {DEFAULT_SIZE}.")]
    if sizes and size not in sizes:
        return [Violation("size", f"{size!r} is not available; {_one_of(sizes, auto=auto)}")]
    return []


def _check_quality(quality: str, qualities: tuple[str, ...], *, auto: bool) -> list[Violation]:
    if not qualities or quality in qualities or (quality == AUTO and auto):
        return []
    return [Violation("quality", f"{quote(quality)} is unknown; {_one_of(qualities, auto=auto)}")]


def _one_of(words: tuple[str, ...], *, auto: bool) -> str:
    return f"must be one of: {', '.join((*words, AUTO) if auto else words)}."
