"""What the price catalogue says about a model. Prices are integers in micros of USD."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from generations.accepts import NOTHING, Accepts

# The largest amount that every part of the product holds exactly.
MICROS_MAX = 2**53 - 1
# The word of some providers for "choose the size or quality yourself".
AUTO = "auto"


class Kind(StrEnum):
    """What a model makes."""

    IMAGE = "image"
    CHAT = "chat"
    VIDEO = "video"


class Status(StrEnum):
    """Whether a model can be used."""

    LIVE = "live"
    RETIRING = "retiring"
    RETIRED = "retired"


class Quality(StrEnum):
    """The quality classes, of which a request asks for one if it names no model."""

    PREMIUM = "premium"
    STANDARD = "standard"


@dataclass(frozen=True, slots=True)
class Model:
    """One model at one provider.

    `micros_per_image` is by quality, then by size such as `1024x1024`; for a model priced by the
    megapixel the reader has worked it out, and `micros_per_megapixel` is that of a billable unit.
    `micros_per_million_tokens` is by kind of token, `micros_per_second` by resolution. What is
    empty or None has no such price.

    Where `priced_steps` is set, the price of an image is that of so many steps and grows with them.
    Where `micros_per_compute_second` is set, it is that of the longest computation, and the bill
    follows the seconds. An image given as input counts at most `tokens_per_reference` tokens. With
    `negative_in_prompt` the model has no negative prompt, but heeds one that stands in the prompt.
    """

    provider: str
    name: str
    kind: Kind
    status: Status
    retire_date: date | None
    substitute: str
    note: str
    sources: tuple[str, ...]
    confidence: str
    estimated: bool
    accepts_auto: bool
    default_quality: str
    micros_per_image: Mapping[str, Mapping[str, int]] = field(hash=False)
    micros_per_megapixel: int | None
    micros_per_million_tokens: Mapping[str, int] = field(hash=False)
    micros_per_second: Mapping[str, int] = field(hash=False)
    micros_per_compute_second: int | None = None
    priced_steps: int | None = None
    tokens_per_reference: int = 0
    negative_in_prompt: bool = False
    accepts: Accepts = NOTHING

    @property
    def qualities(self) -> tuple[str, ...]:
        """The qualities that have a price, in the catalogue's order."""
        if self.kind is not Kind.IMAGE:
            return (self.default_quality,) if self.default_quality else ()
        return tuple(self.micros_per_image)

    @property
    def sizes(self) -> tuple[str, ...]:
        """The sizes or resolutions that have a price in some quality, in the catalogue's order."""
        if self.kind is Kind.VIDEO:
            return tuple(self.micros_per_second)
        return tuple(dict.fromkeys(s for row in self.micros_per_image.values() for s in row))

    def is_priced(self, *, size: str, quality: str) -> bool:
        """Say whether it has a price; of a chat, whatever the size."""
        if self.kind is Kind.CHAT:
            return bool(self.micros_per_million_tokens)
        if self.kind is Kind.VIDEO:
            return size in self.micros_per_second
        return bool(self.image_prices(size=size, quality=quality))

    def image_prices(self, *, size: str, quality: str) -> tuple[int, ...]:
        """Return the prices of an image that the size and quality may mean; none if unpriced."""
        if AUTO not in (size, quality):
            micros = self.micros_per_image.get(quality, {}).get(size)
            return () if micros is None else (micros,)
        if not self.accepts_auto:
            return ()
        return tuple(
            micros
            for priced_quality, row in self.micros_per_image.items()
            for priced_size, micros in row.items()
            if quality in (AUTO, priced_quality) and size in (AUTO, priced_size)
        )

    def status_on(self, today: date) -> Status:
        """Return the status on a day: a retirement whose date has come has happened."""
        if self.retire_date is not None and self.retire_date <= today:
            return Status.RETIRED
        return self.status


@dataclass(frozen=True, slots=True)
class Embedding:
    """A model that makes vectors of texts, of at most so many numbers each."""

    provider: str
    name: str
    dimensions_max: int
    micros_per_million_tokens: int
    sources: tuple[str, ...]
