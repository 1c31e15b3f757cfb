"""What a generation costs: one function that estimates before it is made and bills after.

The estimate is an upper bound of the bill as long as the provider keeps to these bounds, which the
property test states as well. Of images:

- it makes no more than were asked for, at the size and quality asked for;
- the tokens of an image cost no more than the catalogue's price of the image;
- it counts, per image asked for, at most one text token for each UTF-8 byte that is sent
  (tokenizers that fall back to bytes never make more), `WRAPPING_TOKENS` for what it wraps around
  the prompt, and as many for each image given (OpenAI's edits were seen to add up to 40);
- each image given counts at most the catalogue's `tokens_per_reference`, anew for each image asked
  for: OpenAI bills `n` images as so many calls;
- it counts at most one billable unit for each megapixel begun;
- a price by steps is in proportion to the steps asked for, or those of the catalogue;
- a computation paid by the second takes at most the catalogue's seconds: the worker hangs up then.

Of chat, per answer asked for:

- the input is at most one token for each UTF-8 byte of prompt, system text and messages,
  `WRAPPING_TOKENS` for each of these and `TEMPLATE_TOKENS` for what the model's own template adds
  (that of gpt-oss adds about 80, that of Llama 3 about 30);
- the output, thoughts included, is at most the request's `max_tokens`, which the provider is told;
- all input may be written to the provider's cache, where that costs more.

Of video: each has at most the seconds asked for and SLACK_SECONDS, at the resolution asked for; a
file was seen to be longer by some frames, and its own length is what is billed.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_CEILING, Decimal, localcontext

from generations.models import MICROS_MAX, Embedding, Kind, Model
from generations.settings import NO_SETTINGS, Settings
from generations.styles import steered
from generations.usage import BILLABLE_UNITS_MAX, NOT_USED, Usage

__all__ = ["BILLABLE_UNITS_MAX", "Unpriced", "Usage", "price", "price_embedding"]

WRAPPING_TOKENS = 64
TEMPLATE_TOKENS = 256
TOKENS_PER_RATE = 1_000_000
# What is meant by a request that does not say; validation writes it into every request.
MAX_TOKENS_DEFAULT = 1_024
SECONDS_DEFAULT = 5
SLACK_SECONDS = Decimal("0.5")


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
        wanted = f" of size {size[:40]!r} and quality {quality[:40]!r}" if size else ""
        super().__init__(
            f"The model {model.name!r} has no price for {_NOUNS[model.kind]}{wanted}. "
            f"{priced}{way_out}"
        )
        self.model = model.name
        self.size = size
        self.quality = quality
        self.substitute = model.substitute
        self.sizes = model.sizes
        self.qualities = model.qualities


_NOUNS = {Kind.IMAGE: "an image", Kind.CHAT: "a chat", Kind.VIDEO: "a video"}


def price(
    model: Model,
    *,
    size: str,
    quality: str,
    count: int,
    prompt: str = "",
    settings: Settings = NO_SETTINGS,
    usage: Usage | None = None,
) -> int:
    """Return the price of `count` images, answers or videos in micros of USD, rounded up.

    Without `usage` it is the estimate, an upper bound; `auto` for size or quality is the dearest.
    With `usage` it is the bill: by what the provider reports and the model is priced by (tokens,
    billable units, seconds), else by what was made, else the estimate. Raises Unpriced, and
    OverflowError for more than MICROS_MAX.
    """
    assert count >= 1, "requests ask for at least one"
    if not _has_price(model, size, quality, usage):
        raise Unpriced(model, size, quality)
    used = usage or NOT_USED
    prompt, settings = steered(model, prompt, settings)
    if model.kind is Kind.CHAT:
        micros = _ceil_rate(_answers(model, count, prompt, settings, used))
    elif model.kind is Kind.VIDEO:
        micros = _videos(model, size, count, settings, usage)
    else:
        micros = _images(model, size, quality, count, prompt, settings, used)
    if micros > MICROS_MAX:
        raise OverflowError(f"The price of {count} by {model.name!r} is above {MICROS_MAX} micros.")
    return micros


def price_embedding(model: Embedding, texts: Iterable[str], tokens: int | None = None) -> int:
    """Return the price of the vectors of some texts in micros of USD, rounded up.

    Without `tokens`, those that the provider reports, it is an upper bound: a token for each byte.
    """
    if tokens is None:
        tokens = sum(map(_bytes, texts))
    return _ceil_rate(tokens * model.micros_per_million_tokens)


def _has_price(model: Model, size: str, quality: str, usage: Usage | None) -> bool:
    """Say whether there is a price; a bill by what an image's provider reports needs no size."""
    if usage is not None and (_is_by_tokens(model, usage) or _is_by_units(model, usage)):
        return True
    return model.is_priced(size=size, quality=quality)


def _is_by_tokens(model: Model, usage: Usage) -> bool:
    has_rates = bool(model.micros_per_million_tokens) and model.kind is Kind.IMAGE
    return has_rates and usage.image_output_tokens is not None


def _is_by_units(model: Model, usage: Usage) -> bool:
    return (model.micros_per_megapixel is not None and usage.billable_units is not None) or (
        model.micros_per_compute_second is not None and usage.seconds is not None
    )


def _images(
    model: Model,
    size: str,
    quality: str,
    count: int,
    prompt: str,
    settings: Settings,
    usage: Usage,
) -> int:
    given = len(settings.references) + bool(settings.mask)
    sent = _bytes(prompt) + _bytes(settings.negative_prompt)
    input_cost = _image_input_cost(model, count * (sent + (1 + given) * WRAPPING_TOKENS), usage)
    if usage.image_input_tokens is None:
        rate = model.micros_per_million_tokens.get("image_input", 0)
        input_cost += count * given * model.tokens_per_reference * rate
    if _is_by_tokens(model, usage):
        return _ceil_rate(input_cost + _image_output_cost(model, usage))
    if model.micros_per_megapixel is not None and usage.billable_units is not None:
        return _ceil_units(usage.billable_units, model.micros_per_megapixel)
    if model.micros_per_compute_second is not None and usage.seconds is not None:
        return _ceil_units(usage.seconds, model.micros_per_compute_second)
    each = max(model.image_prices(size=size, quality=quality))
    if model.priced_steps is not None:
        each = -(-each * (settings.steps or model.priced_steps) // model.priced_steps)
    return (count if usage.images is None else usage.images) * each + _ceil_rate(input_cost)


def _image_input_cost(model: Model, text_bound: int, usage: Usage) -> int:
    """Return the cost of the input in micros per million, its text bounded where nothing is said.

    Images that the provider does not report are not in it.
    """
    rates = model.micros_per_million_tokens
    if not rates:
        return 0
    text = text_bound if usage.text_input_tokens is None else usage.text_input_tokens
    cached_text = usage.cached_text_input_tokens or 0
    image = usage.image_input_tokens or 0
    cached_image = usage.cached_image_input_tokens or 0
    return (
        (text - cached_text) * rates["text_input"]
        + cached_text * rates["cached_text_input"]
        + (image - cached_image) * rates["image_input"]
        + cached_image * rates["cached_image_input"]
    )


def _image_output_cost(model: Model, usage: Usage) -> int:
    """Return the cost of the output in micros per million."""
    rates = model.micros_per_million_tokens
    return (usage.image_output_tokens or 0) * rates["image_output"] + (
        usage.text_output_tokens or 0
    ) * rates["text_output"]


def _answers(model: Model, count: int, prompt: str, settings: Settings, usage: Usage) -> int:
    """Return the cost of chat in micros per million, bounded where the provider says nothing."""
    rates = model.micros_per_million_tokens
    if usage.text_input_tokens is None:
        texts = [prompt, settings.system, *(message.content for message in settings.messages)]
        each = (_bytes(text) + WRAPPING_TOKENS for text in texts if text)
        tokens = TEMPLATE_TOKENS + sum(each)
        dearest = max(rates["input"], rates["cache_write_input"])
        input_cost = count * tokens * dearest
    else:
        cached = usage.cached_text_input_tokens or 0
        written = usage.cache_write_text_input_tokens or 0
        input_cost = (
            (usage.text_input_tokens - cached - written) * rates["input"]
            + cached * rates["cached_input"]
            + written * rates["cache_write_input"]
        )
    output = usage.text_output_tokens
    if output is None:
        output = count * (settings.max_tokens or MAX_TOKENS_DEFAULT)
    return input_cost + output * rates["output"]


def _videos(model: Model, size: str, count: int, settings: Settings, usage: Usage | None) -> int:
    each = Decimal(settings.seconds or SECONDS_DEFAULT)
    if usage is None:
        seconds = count * (each + SLACK_SECONDS)
    elif usage.seconds is not None:
        seconds = usage.seconds
    else:
        seconds = each * (count if usage.videos is None else usage.videos)
    return _ceil_units(seconds, model.micros_per_second[size])


def _bytes(text: str) -> int:
    # A lone surrogate has no UTF-8; validation refuses it, and a price must not depend on that.
    return len(text.encode("utf-8", "surrogatepass"))


def _ceil_rate(micros_per_million: int) -> int:
    return -(-micros_per_million // TOKENS_PER_RATE)


def _ceil_units(units: Decimal, micros: int) -> int:
    # Every step rounds up, so that units of more digits than the context has cost no less.
    with localcontext(prec=64, rounding=ROUND_CEILING):
        return int((units * micros).to_integral_value())
