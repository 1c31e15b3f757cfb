"""What a generation costs: one function that estimates before it is made and bills after.

The estimate is an upper bound of the bill as long as the provider keeps to these bounds, which the
property test states as well:

- it makes no more images than were asked for, at the size and quality asked for;
- the tokens of an image cost no more than the catalogue's price of the image;
- it counts, per image asked for, at most one text token for each UTF-8 byte of the prompt
  (tokenizers that fall back to bytes never make more) and `WRAPPING_TOKENS` for what it wraps
  around the prompt;
- it takes no image as input, since a generation has none;
- it counts at most one billable unit for each megapixel begun.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import ROUND_CEILING, Decimal, localcontext

from generations.models import MICROS_MAX, Model

WRAPPING_TOKENS = 64
TOKENS_PER_RATE = 1_000_000
BILLABLE_UNITS_MAX = 1_000_000_000


class Unpriced(Exception):
    """The catalogue has no price for the model at that size and quality."""

    def __init__(self, model: Model, size: str, quality: str) -> None:
        priced = (
            f"It has prices at sizes {', '.join(model.sizes)}, qualities "
            f"{', '.join(model.qualities)}."
            if model.sizes
            else "It has none at all."
        )
        way_out = f" Use the model {model.substitute!r}." if model.substitute else ""
        super().__init__(
            f"The model {model.name!r} has no price for an image of size {size[:40]!r} and quality "
            f"{quality[:40]!r}. {priced}{way_out}"
        )
        self.model = model.name
        self.size = size
        self.quality = quality
        self.substitute = model.substitute
        self.sizes = model.sizes
        self.qualities = model.qualities


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a provider says it did; None where it says nothing.

    The cached tokens are a part of the input tokens, not beside them. Raises ValueError for what
    can't be true: less than nothing, or more cached tokens than tokens.
    """

    images: int | None = None
    text_input_tokens: int | None = None
    cached_text_input_tokens: int | None = None
    image_input_tokens: int | None = None
    cached_image_input_tokens: int | None = None
    image_output_tokens: int | None = None
    text_output_tokens: int | None = None
    billable_units: Decimal | None = None
    seconds: Decimal | None = None

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            if name in ("billable_units", "seconds"):
                continue
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 0):
                raise ValueError(f"{name} is {value!r}; must be an integer, 0 or more.")
        for name in ("billable_units", "seconds"):
            units = getattr(self, name)
            if units is not None and not (units.is_finite() and 0 <= units <= BILLABLE_UNITS_MAX):
                raise ValueError(f"{name} must be 0 to {BILLABLE_UNITS_MAX}.")
        for kind in ("text_input_tokens", "image_input_tokens"):
            if (getattr(self, f"cached_{kind}") or 0) > (getattr(self, kind) or 0):
                raise ValueError(f"cached_{kind} is more than {kind}, of which it is a part.")


def price(
    model: Model,
    *,
    size: str,
    quality: str,
    count: int,
    prompt: str = "",
    usage: Usage | None = None,
) -> int:
    """Return the price of `count` images in micros of USD, rounded up.

    Without `usage` it is the estimate, an upper bound; `auto` for size or quality is the dearest.
    With `usage` it is the bill: by tokens or by billable units where the model is priced so and the
    provider reports them, whatever the size; else by the images made. Raises Unpriced, and
    OverflowError for more than MICROS_MAX.
    """
    assert count >= 1, "requests ask for at least one image"
    if usage is None:
        usage = Usage()
    if usage.image_output_tokens is not None and model.micros_per_million_tokens:
        micros = _ceil_rate(_input_cost(model, prompt, count, usage) + _output_cost(model, usage))
    elif usage.billable_units is not None and model.micros_per_megapixel is not None:
        micros = _ceil_units(usage.billable_units, model.micros_per_megapixel)
    else:
        prices = model.image_prices(size=size, quality=quality)
        if not prices:
            raise Unpriced(model, size, quality)
        images = count if usage.images is None else usage.images
        micros = images * max(prices) + _ceil_rate(_input_cost(model, prompt, count, usage))
    if micros > MICROS_MAX:
        raise OverflowError(f"The price of {count} images by {model.name!r} is above {MICROS_MAX}.")
    return micros


def _input_cost(model: Model, prompt: str, count: int, usage: Usage) -> int:
    """Return the cost of the input in micros per million, bounded where usage says nothing."""
    rates = model.micros_per_million_tokens
    if not rates:
        return 0
    text = usage.text_input_tokens
    if text is None:
        # A lone surrogate has no UTF-8; validation refuses it, and a price must not depend on that.
        text = count * (len(prompt.encode("utf-8", "surrogatepass")) + WRAPPING_TOKENS)
    cached_text = usage.cached_text_input_tokens or 0
    image = usage.image_input_tokens or 0
    cached_image = usage.cached_image_input_tokens or 0
    return (
        (text - cached_text) * rates["text_input"]
        + cached_text * rates["cached_text_input"]
        + (image - cached_image) * rates["image_input"]
        + cached_image * rates["cached_image_input"]
    )


def _output_cost(model: Model, usage: Usage) -> int:
    """Return the cost of the output in micros per million."""
    rates = model.micros_per_million_tokens
    return (usage.image_output_tokens or 0) * rates["image_output"] + (
        usage.text_output_tokens or 0
    ) * rates["text_output"]


def _ceil_rate(micros_per_million: int) -> int:
    return -(-micros_per_million // TOKENS_PER_RATE)


def _ceil_units(units: Decimal, micros: int) -> int:
    # Every step rounds up, so that units of more digits than the context has cost no less.
    with localcontext(prec=64, rounding=ROUND_CEILING):
        return int((units * micros).to_integral_value())
