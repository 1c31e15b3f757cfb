"""What a picture's own bytes say about it, and what a size in words means."""

from __future__ import annotations

import io
import math

from PIL import Image

from generations.catalogue_file import SIZE
from workers.providers.base import ProducedFile

PIXELS_MAX = 16_777_216

# The formats that are looked for, which keeps Pillow's rarer readers away from foreign bytes.
PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
_OUTPUT_FORMATS = ("png", "webp", "jpeg")


class NotAPicture(ValueError):
    """The bytes are no picture of a known format."""


def read_picture(content: bytes) -> ProducedFile:
    """Return the file with the media type and size that its header tells. Raises NotAPicture.

    The pixels are not decoded.
    """
    try:
        with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as image:
            media_type, (width, height) = image.get_format_mimetype(), image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise NotAPicture("it is no PNG, JPEG, WebP or GIF") from None
    assert media_type is not None, "each of the formats has one"
    return ProducedFile(content=content, media_type=media_type, width=width, height=height)


def convert_picture(content: bytes, output_format: str) -> bytes:
    """Return a picture as `png`, `webp` or `jpeg`; as it is, if no format is asked for.

    Raises ValueError for another format. This takes tens of milliseconds of a processor.
    """
    if output_format not in ("", *_OUTPUT_FORMATS):
        raise ValueError(f"there is no format {output_format[:40]!r}")
    with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as image:
        if output_format.upper() in ("", image.format):
            return content
        file = io.BytesIO()
        image.convert("RGB").save(file, output_format.upper())
    return file.getvalue()


def pixels(size: str) -> tuple[int, int]:
    """Return the width and height of a size such as `1024x1024`.

    Raises ValueError for what has another form or more than PIXELS_MAX pixels.
    """
    found = SIZE.fullmatch(size)
    if found is None:
        raise ValueError(f"the size {size[:40]!r} is not of the form 1024x1024")
    width, height = int(found[1]), int(found[2])
    if width * height > PIXELS_MAX:
        raise ValueError(f"the size {size} has more than {PIXELS_MAX} pixels")
    return width, height


def aspect_ratio(width: int, height: int) -> str:
    """Return the proportions in the smallest numbers, such as `3:2`."""
    common = math.gcd(width, height)
    return f"{width // common}:{height // common}"
