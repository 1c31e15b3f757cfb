"""The emulator's pictures and videos, and what they would have cost by the catalogue."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from generations.catalogue import Catalogue
from generations.models import Kind, Model, Status
from generations.pricing import SECONDS_DEFAULT, Usage, price
from generations.settings import NO_SETTINGS, Settings
from workers.providers.drawing import draw_picture
from workers.providers.moving import draw_video
from workers.providers.pictures import aspect_ratio, convert_picture, pixels

BAND = "EMULATED · no real generation"
TOKENS_PER_RATE = 1_000_000

_VIDEO_WIDTH, _VIDEO_HEIGHT = 320, 180
_RICH = {"premium", "high", "xhigh", "max"}


@dataclass(frozen=True, slots=True)
class Order:
    """Pictures that were asked for, checked. The size is in pixels, as in `1024x1024`.

    `given` are the files to be edited, if any are.
    """

    model: Model
    prompt: str
    size: str
    quality: str
    count: int
    output_format: str = "png"
    given: tuple[bytes, ...] = ()
    settings: Settings = NO_SETTINGS

    def bill(self, usage: Usage) -> int:
        """Return what the catalogue bills for a usage, in micros of USD."""
        return price(
            self.model,
            size=self.size,
            quality=self.quality,
            count=self.count,
            prompt=self.prompt,
            settings=self.settings,
            usage=usage,
        )

    async def draw(self, index: int) -> bytes:
        """Return one of the pictures, always the same."""
        return await asyncio.to_thread(self._draw, index)

    def _draw(self, index: int) -> bytes:
        width, height = pixels(self.size)
        content = draw_picture(
            self.prompt,
            width=width,
            height=height,
            quality=self.quality,
            index=index,
            rich=self.quality in _RICH,
            band=BAND,
            variant="\n".join(hashlib.sha256(content).hexdigest() for content in self.given),
        )
        return convert_picture(content, self.output_format)


def film(order: Order) -> bytes:
    """Return the video that was asked for, always the same, in a size that is quickly drawn."""
    return draw_video(
        order.prompt,
        width=_VIDEO_WIDTH,
        height=_VIDEO_HEIGHT,
        seconds=order.settings.seconds or SECONDS_DEFAULT,
        quality=order.quality,
        index=0,
        rich=False,
        band=BAND,
    )


# Models without a published price are at one here, so that they can be asked for.
PRICES = Path(__file__).parent / "prices.toml"


def find_model(
    provider: str, name: object, kinds: Collection[Kind] = (Kind.IMAGE,)
) -> Model | None:
    """Return a provider's model of one of the kinds, if it is still made at a known price."""
    for model in (model for kind in kinds for model in Catalogue.load(PRICES).models(kind)):
        if (model.provider, model.name) == (provider, name):
            return model if model.sizes and model.status is not Status.RETIRED else None
    return None


def size_of_ratio(model: Model, ratio: str) -> str:
    """Return a size of these proportions that has a price; an empty one if none has."""
    ratios = {aspect_ratio(*pixels(size)): size for size in model.sizes}
    return ratios.get(ratio, "")


def price_of_one(order: Order) -> int:
    """Return the catalogue's price of one picture, of any priced size if not of this one."""
    model = order.model
    prices = model.image_prices(size=order.size, quality=order.quality)
    return max(prices or model.micros_per_image[order.quality].values())
