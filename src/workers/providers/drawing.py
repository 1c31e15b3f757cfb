"""Draws a placeholder picture from a prompt: the same request, the same bytes.

It says on itself what it is, in a band along its lower edge, so that nobody takes it for the work
of a model.
"""

from __future__ import annotations

import hashlib
from functools import cache
from random import Random

from PIL import ImageFont

from workers.providers.canvas import TONE_MAX, Canvas, Ramp
from workers.providers.scenes import SCENES

_RAMPS: tuple[Ramp, ...] = (
    (0x160A2E, 0x4B1D6E, 0xC23A66, 0xF7935F, 0xFFEED3),  # dusk
    (0x04161F, 0x0B4A5C, 0x1F9A8F, 0x9FDDB5, 0xFDF9E6),  # lagoon
    (0x0A1A12, 0x1D4F37, 0x5C954F, 0xCFD582, 0xFEFAE4),  # meadow
    (0x1A0909, 0x611C19, 0xC94C2C, 0xF3A75A, 0xFFF2DC),  # ember
    (0x090E24, 0x20377A, 0x5F84DB, 0xBDCBF4, 0xF8F7FF),  # ink
    (0x150F22, 0x3E2C63, 0x8A6CC2, 0xE0A9CF, 0xFFF1EC),  # lilac
    (0x0D1420, 0x2C4257, 0x7C8C99, 0xD8C7A9, 0xFBF5EA),  # harbour
)
_LINES_MAX = 4
_PROMPT_LENGTH_MAX = 280
_DOTS = "…"


def draw_picture(
    prompt: str,
    *,
    width: int,
    height: int,
    quality: str,
    index: int,
    rich: bool,
    band: str,
    variant: str = "",
) -> bytes:
    """Return a PNG of that size in pixels, the same for the same arguments.

    `index` counts the pictures of one request from 0. `band` is written along the lower edge.
    `variant` stands for all else that makes a request another one, and is not written. This takes
    tens of milliseconds of a processor.
    """
    size = f"{width}x{height}"
    parts = [size, quality, str(index), prompt, *([variant] if variant else ())]
    seed = hashlib.sha256("\n".join(parts).encode(errors="replace"))
    # It guards no secret: the same seed has to give the same picture.
    random = Random(seed.digest())  # noqa: S311
    canvas = Canvas(width, height, rich=rich)
    first, second = random.sample(_RAMPS, 2)
    if rich:
        canvas.tint_towards(random.uniform(0, 360))
    random.choice(SCENES)(canvas, random)
    _write(canvas, prompt, band, f"{quality}  {size}  #{index + 1}")
    return canvas.png(first, second)


def _write(canvas: Canvas, prompt: str, band: str, note: str) -> None:
    """Write the prompt above the band, and the note at the band's end if there is room for it."""
    width, height = canvas.size
    margin = min(width, height) // 24
    band_top = height - height // 18
    font, small = _font(min(width, height) // 20), _font(height // 36)
    lines = _wrap(prompt, font, width - 2 * margin)
    pitch = round(font.size * 1.3)
    top = max(0, band_top - pitch * len(lines) - margin * 5 // 4)
    canvas.dim(top, band_top, keep=0.45)
    canvas.dim(band_top, height, keep=0.1)
    draw = canvas.draw()
    for number, line in enumerate(lines):
        draw.text((margin, top + margin * 5 // 8 + pitch * number), line, fill=TONE_MAX, font=font)
    middle = (band_top + height) // 2
    draw.text((margin, middle), band, fill=235, font=small, anchor="lm")
    if small.getlength(band) + small.getlength(note) + 3 * margin < width:
        draw.text((width - margin, middle), note, fill=160, font=small, anchor="rm")


def _wrap(prompt: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Return the prompt in lines that fit; if something had to be left out, the last says so."""
    words = prompt[:_PROMPT_LENGTH_MAX].split()
    lines: list[str] = []
    for word in words:
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    cut = len(lines) > _LINES_MAX or len(prompt) > _PROMPT_LENGTH_MAX
    del lines[_LINES_MAX:]
    if cut:
        lines[-1] += _DOTS
    return [_fit(line, font, width) for line in lines]


def _fit(line: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    if font.getlength(line) <= width:
        return line
    line = line.removesuffix(_DOTS)
    while line and font.getlength(line + _DOTS) > width:
        line = line[:-1]
    return line + _DOTS


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(max(6, size))
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow's wheels come with FreeType"
    return font
