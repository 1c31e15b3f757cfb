"""What a provider says that it did, by which it is billed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal

BILLABLE_UNITS_MAX = 1_000_000_000

_UNITS = ("billable_units", "seconds")
# What is counted beside the tokens of which it is a part.
_PARTS = {
    "text_input_tokens": ("cached_text_input_tokens", "cache_write_text_input_tokens"),
    "image_input_tokens": ("cached_image_input_tokens",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a provider says it did, over all that was asked for; None where it says nothing.

    The cached tokens, and those written to a cache, are a part of the input tokens, not beside
    them. `text_output_tokens` of a chat has its thoughts. `seconds` are those of the videos made,
    or of computing, where that is paid. Raises ValueError for what can't be true: less than
    nothing, or more tokens of a part than tokens.
    """

    images: int | None = None
    videos: int | None = None
    text_input_tokens: int | None = None
    cached_text_input_tokens: int | None = None
    cache_write_text_input_tokens: int | None = None
    image_input_tokens: int | None = None
    cached_image_input_tokens: int | None = None
    image_output_tokens: int | None = None
    text_output_tokens: int | None = None
    billable_units: Decimal | None = None
    seconds: Decimal | None = None

    def __post_init__(self) -> None:
        for name in _NAMES:
            value = getattr(self, name)
            if name in _UNITS:
                if value is not None and not (
                    value.is_finite() and 0 <= value <= BILLABLE_UNITS_MAX
                ):
                    raise ValueError(f"{name} must be 0 to {BILLABLE_UNITS_MAX}.")
            elif value is not None and (type(value) is not int or value < 0):
                raise ValueError(f"{name} is {value!r}; must be an integer, 0 or more.")
        for whole, parts in _PARTS.items():
            counted = {part: getattr(self, part) for part in parts if getattr(self, part)}
            if sum(counted.values()) > (getattr(self, whole) or 0):
                names = " and ".join(counted)
                raise ValueError(f"{names} is more than {whole}, of which it is a part.")


_NAMES = tuple(field.name for field in fields(Usage))  # of thousands of rows they are the same
NOT_USED = Usage()
"""What is known where a provider says nothing."""
