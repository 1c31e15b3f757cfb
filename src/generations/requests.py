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
from typing import Any, NamedTuple

from generations.catalogue import AUTO, Catalogue, Kind, Model, Quality, RetiredModel, UnknownModel
from generations.catalogue_file import SIZE
from generations.pricing import price
from generations.settings import NO_SETTINGS, Settings

PROMPT_LENGTH_MAX = 32_000
COUNT_MAX = 10
DEFAULT_SIZE = "1024x1024"
# A violation quotes no more than this of what the caller sent: the trailers of a status are small.
QUOTE_LENGTH_MAX = 40

SURROGATES_START = 0xD800

_SUPPORTED_KINDS = (Kind.IMAGE,)
# The control characters but line break and tab, and the halves of surrogate pairs.
_BAD_CHARACTER = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class Violation(NamedTuple):
    """One field that is wrong, and the way out."""

    field: str
    message: str


class InvalidRequest(Exception):
    """One or more fields are wrong. `violations` has them all."""

    def __init__(self, violations: tuple[Violation, ...]) -> None:
        super().__init__("; ".join(f"{field}: {message}" for field, message in violations))
        self.violations = violations


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
) -> GenerationRequest:
    """Return the request with its defaults filled in: what is empty was not set.

    Raises InvalidRequest with every violation; if there is none, RetiredModel or Unpriced for a
    model that can't be used.
    """
    found, refusal = _look_up(catalogue, model, today)
    request = GenerationRequest(
        account=account,
        kind=Kind.IMAGE,
        prompt=prompt,
        model=model,
        size=size or DEFAULT_SIZE,
        quality=quality or (found.default_quality if found else Quality.PREMIUM.value),
        count=count,
    )
    violations = (
        *_check_kind(kind),
        *_check_prompt(prompt),
        *_check_choice(request, catalogue, found, refusal),
        *_check_count(count),
    )
    if violations:
        raise InvalidRequest(violations)
    if refusal is not None:
        raise refusal
    if found is not None:
        price(found, size=request.size, quality=request.quality, count=count, prompt=prompt)
    return request


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


def _check_choice(
    request: GenerationRequest,
    catalogue: Catalogue,
    model: Model | None,
    refusal: UnknownModel | RetiredModel | None,
) -> list[Violation]:
    """Check model, size and quality, which depend on one another."""
    if refusal is not None:
        form = _check_size(request.size, (), auto=True)
        unknown = isinstance(refusal, UnknownModel)
        return [Violation("model", str(refusal)), *form] if unknown else form
    if model is None:
        sizes = catalogue.default_sizes(request.kind)
        return [
            *_check_size(request.size, sizes, auto=False),
            *_check_quality(request.quality, tuple(Quality), auto=False),
        ]
    if model.kind != request.kind:
        return [Violation("model", f"{model.name!r} makes {model.kind}, not {request.kind}.")]
    return [
        *_check_size(request.size, model.sizes, auto=model.accepts_auto),
        *_check_quality(request.quality, model.qualities, auto=model.accepts_auto),
    ]


def _check_count(count: int) -> list[Violation]:
    if 1 <= count <= COUNT_MAX:
        return []
    return [Violation("count", f"is {count}; must be 1 to {COUNT_MAX}.")]


def _check_kind(kind: str) -> list[Violation]:
    if not kind or kind in _SUPPORTED_KINDS:
        return []
    known = " is not supported yet" if kind in tuple(Kind) else " is unknown"
    return [Violation("kind", f"{_quote(kind)}{known}; must be: {', '.join(_SUPPORTED_KINDS)}.")]


def _check_prompt(prompt: str) -> list[Violation]:
    if not prompt.strip():
        return [Violation("prompt", "is empty; say what the generation shall show.")]
    if len(prompt) > PROMPT_LENGTH_MAX:
        return [
            Violation(
                "prompt", f"has {len(prompt)} characters; at most {PROMPT_LENGTH_MAX} are allowed."
            )
        ]
    bad = _BAD_CHARACTER.search(prompt)
    if bad is None:
        return []
    code = ord(bad[0])
    what = "half a surrogate pair" if code >= SURROGATES_START else "the control character"
    return [
        Violation(
            "prompt",
            f"has {what} U+{code:04X} at position {bad.start() + 1}; "
            "of these only line breaks (U+000A) and tabs (U+0009) are allowed.",
        )
    ]


def _check_size(size: str, sizes: tuple[str, ...], *, auto: bool) -> list[Violation]:
    """Check the form, and the sizes where any have a price: a model without is Unpriced."""
    if size == AUTO and auto:
        return []
    if size != AUTO and not SIZE.fullmatch(size):
        return [Violation("size", f"{_quote(size)} is no size; one looks like {DEFAULT_SIZE}.")]
    if sizes and size not in sizes:
        return [Violation("size", f"{size!r} is not available; {_one_of(sizes, auto=auto)}")]
    return []


def _check_quality(quality: str, qualities: tuple[str, ...], *, auto: bool) -> list[Violation]:
    if not qualities or quality in qualities or (quality == AUTO and auto):
        return []
    return [Violation("quality", f"{_quote(quality)} is unknown; {_one_of(qualities, auto=auto)}")]


def _one_of(words: tuple[str, ...], *, auto: bool) -> str:
    return f"must be one of: {', '.join((*words, AUTO) if auto else words)}."


def _quote(text: str) -> str:
    return repr(text if len(text) <= QUOTE_LENGTH_MAX else text[:QUOTE_LENGTH_MAX] + "…")
