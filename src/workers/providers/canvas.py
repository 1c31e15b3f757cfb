"""A canvas of tones: shapes with smooth edges, drawn in grey and coloured at the end.

Each pixel holds a tone, 0 the darkest and 255 the lightest, and a ramp turns tones into colours. So
every blend of two tones is a colour of the ramp, and nothing drawn can clash. Coordinates are
fractions of the canvas, from (0, 0) at the upper left to (1, 1) at the lower right; radii and
thicknesses are fractions of its shorter side.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Protocol

from PIL import Image, ImageChops, ImageDraw, ImageFilter

TONE_MAX = 255

Point = tuple[float, float]
Tones = tuple[int, int]  # at the upper and at the lower edge of the canvas
Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels
Ramp = tuple[int, ...]  # colours as 0xRRGGBB, from the darkest to the lightest

_TONES = range(TONE_MAX + 1)
# zlib's strategy that finds no more than repetitions, of which flat shapes are full.
_RUN_LENGTHS = 3
# Shapes are drawn this many times larger and reduced, which makes their edges smooth.
_OVERSAMPLING = 2
# A shadow is blurred at this part of the size, where it costs nothing.
_SHADOW_REDUCTION = 8
_SHADOW_BLUR = 2.5
_SHADOW_STRENGTH = 0.45
_SHADOW_REACH = 8 * _SHADOW_REDUCTION
# What Pillow's radial gradient has where it meets the middle of an edge.
_RADIAL_TONE_AT_EDGE = 181
# Of a turned square this middle part is never outside, whatever the angle.
_TURNED_PART = 0.7


@dataclass(frozen=True, slots=True)
class Mask:
    """Where a shape draws itself, in pixels."""

    draw: ImageDraw.ImageDraw
    width: int
    height: int

    def point(self, point: Point) -> Point:
        """Return a point in pixels."""
        return point[0] * self.width, point[1] * self.height

    def length(self, length: float) -> float:
        """Return a radius or thickness in pixels."""
        return length * min(self.width, self.height)


class Shape(Protocol):
    """What can be laid on a canvas."""

    def fill(self, mask: Mask) -> None:
        """Draw the shape."""


@dataclass(frozen=True, slots=True)
class Polygon:
    """An area between points."""

    points: Sequence[Point]

    def fill(self, mask: Mask) -> None:
        """Draw the shape."""
        mask.draw.polygon([mask.point(point) for point in self.points], fill=TONE_MAX)


@dataclass(frozen=True, slots=True)
class Disc:
    """A full circle."""

    centre: Point
    radius: float

    def fill(self, mask: Mask) -> None:
        """Draw the shape."""
        mask.draw.circle(mask.point(self.centre), mask.length(self.radius), fill=TONE_MAX)


@dataclass(frozen=True, slots=True)
class Ring:
    """A circle's line, from the radius inwards."""

    centre: Point
    radius: float
    thickness: float

    def fill(self, mask: Mask) -> None:
        """Draw the shape."""
        width = max(1, round(mask.length(self.thickness)))
        centre, radius = mask.point(self.centre), mask.length(self.radius)
        mask.draw.circle(centre, radius, outline=TONE_MAX, width=width)


@dataclass(frozen=True, slots=True)
class Pie:
    """A quarter of a disc, from an angle in degrees on, clockwise from three o'clock."""

    centre: Point
    radius: float
    angle: float

    def fill(self, mask: Mask) -> None:
        """Draw the shape."""
        (x, y), reach = mask.point(self.centre), mask.length(self.radius)
        box = (x - reach, y - reach, x + reach, y + reach)
        mask.draw.pieslice(box, self.angle, self.angle + 90, fill=TONE_MAX)


class Canvas:
    """A picture in the making. A rich one has shadows, layers that fade, and two ramps."""

    def __init__(self, width: int, height: int, *, rich: bool) -> None:
        self.size = (width, height)
        self.rich = rich
        self._tones = Image.new("L", self.size)
        self._second_ramp = Image.new("L", self.size)
        self._second_ramp_below = self._second_ramp

    def across(self, length: float) -> float:
        """Return a fraction of the shorter side as one of the width."""
        return length * min(self.size) / self.size[0]

    def down(self, length: float) -> float:
        """Return a fraction of the shorter side as one of the height."""
        return length * min(self.size) / self.size[1]

    def backdrop(self, tones: Tones) -> None:
        """Fill the canvas."""
        self._tones = self._fade(tones, (0, 0, *self.size))

    def layer(self, *shapes: Shape, tones: Tones) -> None:
        """Lay shapes over what is there; unless the canvas is rich, in the upper tone alone."""
        mask, box = self._mask(shapes)
        if self.rich:
            self._cast_shadow(mask, box)
            self._second_ramp.paste(self._second_ramp_below.crop(box), box, mask)
        self._tones.paste(self._fade(tones, box), box, mask)

    def lighten(self, *shapes: Shape, by: int) -> None:
        """Add to the tones of shapes, or take from them if `by` is negative."""
        mask, box = self._mask(shapes)
        change = mask.point([abs(by) * tone // TONE_MAX for tone in _TONES])
        operation = ImageChops.add if by > 0 else ImageChops.subtract
        self._tones.paste(operation(self._tones.crop(box), change), box)

    def glow(self, centre: Point, radius: float, by: int) -> None:
        """Add to the tones around a point, less the farther."""
        reach = round(radius * min(self.size))
        edge = _RADIAL_TONE_AT_EDGE
        light = Image.radial_gradient("L").resize((2 * reach, 2 * reach), Image.Resampling.BILINEAR)
        light = light.point([by * max(0, edge - tone) ** 2 // edge**2 for tone in _TONES])
        corner = tuple(
            round(part * side) - reach for part, side in zip(centre, self.size, strict=True)
        )
        change = Image.new("L", self.size)
        change.paste(light, (corner[0], corner[1]))
        self._tones = ImageChops.add(self._tones, change)

    def tint(self, *shapes: Shape) -> None:
        """Give shapes the colours of the second ramp."""
        mask, box = self._mask(shapes)
        self._second_ramp.paste(TONE_MAX, box, mask)

    def tint_towards(self, angle: float) -> None:
        """Let the colours of the second ramp come in from the side that the angle says."""
        turned = Image.linear_gradient("L").rotate(angle, Image.Resampling.BILINEAR)
        rest = round(turned.width * (1 - _TURNED_PART) / 2)
        part = turned.crop((rest, rest, turned.width - rest, turned.height - rest))
        self._second_ramp_below = part.resize(self.size, Image.Resampling.BILINEAR)
        self._second_ramp = self._second_ramp_below.copy()

    def dim(self, top: int, bottom: int, keep: float) -> None:
        """Keep a share of the light between two rows of pixels."""
        box = (0, top, self.size[0], bottom)
        self._tones.paste(self._tones.crop(box).point([int(tone * keep) for tone in _TONES]), box)

    def draw(self) -> ImageDraw.ImageDraw:
        """Return the means to write tones, in pixels."""
        return ImageDraw.Draw(self._tones)

    def png(self, first: Ramp, second: Ramp) -> bytes:
        """Return the picture as PNG in the colours of the ramps; only a rich one needs both."""
        if self.rich:
            picture = _colour(self._tones, first)
            picture.paste(_colour(self._tones, second), mask=self._second_ramp)
        else:
            picture = self._tones.copy()
            palette = zip(*_tables(first), strict=True)
            picture.putpalette([value for colour in palette for value in colour])
        file = io.BytesIO()
        picture.save(file, "PNG", compress_level=1, compress_type=_RUN_LENGTHS)
        return file.getvalue()

    def _mask(self, shapes: Sequence[Shape]) -> tuple[Image.Image, Box]:
        """Return where shapes are and the box in which that is; the mask has the box's size."""
        width, height = (side * _OVERSAMPLING for side in self.size)
        image = Image.new("L", (width, height))
        mask = Mask(ImageDraw.Draw(image), width, height)
        for shape in shapes:
            shape.fill(mask)
        left, top, right, bottom = image.getbbox() or (0, 0, 1, 1)
        box = (
            left // _OVERSAMPLING,
            top // _OVERSAMPLING,
            -(-right // _OVERSAMPLING),
            -(-bottom // _OVERSAMPLING),
        )
        larger = (
            box[0] * _OVERSAMPLING,
            box[1] * _OVERSAMPLING,
            box[2] * _OVERSAMPLING,
            box[3] * _OVERSAMPLING,
        )
        return image.reduce(_OVERSAMPLING, larger), box

    def _fade(self, tones: Tones, box: Box) -> Image.Image:
        """Return what a fade over the whole canvas has in a box."""
        upper, lower = tones if self.rich else (tones[0], tones[0])
        left, top, right, bottom = box
        step, height = lower - upper, self.size[1]
        rows = (bytes((upper + step * row // height,)) for row in range(top, bottom))
        content = b"".join(row * (right - left) for row in rows)
        return Image.frombytes("L", (right - left, bottom - top), content)

    def _cast_shadow(self, mask: Image.Image, box: Box) -> None:
        """Darken what is around a mask."""
        reach = _SHADOW_REACH
        wide = Image.new("L", (mask.width + 2 * reach, mask.height + 2 * reach))
        wide.paste(mask, (reach, reach))
        shadow = wide.reduce(_SHADOW_REDUCTION).filter(ImageFilter.GaussianBlur(_SHADOW_BLUR))
        shadow = shadow.point([int(tone * _SHADOW_STRENGTH) for tone in _TONES])
        shadow = shadow.resize(wide.size, Image.Resampling.BILINEAR)
        place = (box[0] - reach, box[1] - reach)
        ground = self._tones.crop((*place, place[0] + wide.width, place[1] + wide.height))
        self._tones.paste(ImageChops.subtract(ground, shadow), place)


def _colour(tones: Image.Image, ramp: Ramp) -> Image.Image:
    return Image.merge("RGB", [tones.point(table) for table in _tables(ramp)])


@cache
def _tables(ramp: Ramp) -> list[list[int]]:
    """Return for red, green and blue the value of each tone."""
    return [
        [_between([colour >> shift & 0xFF for colour in ramp], tone) for tone in _TONES]
        for shift in (16, 8, 0)
    ]


def _between(stops: Sequence[int], tone: int) -> int:
    """Return the value at a tone, along straight lines between evenly spaced stops."""
    steps = list(pairwise(stops))
    place = tone * len(steps)
    number = min(place // TONE_MAX, len(steps) - 1)
    start, end = steps[number]
    return start + (end - start) * (place - number * TONE_MAX) // TONE_MAX
