"""Prints: scales a picture to the size of a sheet, as PNG or PDF. Made here, by Pillow.

It is a provider as the others are, so that a print is a generation like any other: priced by the
catalogue, held before and committed after.
"""

from __future__ import annotations

import asyncio
import io

from PIL import Image, ImageOps

from generations.pricing import Usage
from workers.providers.base import OnSubmitted, ProducedFile, ProviderRequest, ProviderResult
from workers.providers.errors import InvalidRequest
from workers.providers.pictures import PICTURE_FORMATS

# What a print needs to look sharp at arm's length.
DPI = 150
# Width and height in millimetres, upright (ISO 216).
SHEETS = {"A5": (148, 210), "A4": (210, 297), "A3": (297, 420), "A2": (420, 594)}
# What is decoded of one reference; providers make far less.
PIXELS_MAX = 40_000_000

_MEDIA_TYPES = {"print-png": "image/png", "print-pdf": "application/pdf"}
_MM_PER_INCH = 25.4


class Printing:
    """Makes prints of pictures. The same picture gets the same pixels."""

    name = "print"

    async def generate(
        self,
        request: ProviderRequest,
        *,
        on_submitted: OnSubmitted,  # noqa: ARG002 - it answers at once and has no remote id
    ) -> ProviderResult:
        """Print every reference. Raises InvalidRequest."""
        media_type = _MEDIA_TYPES.get(request.model)
        if media_type is None:
            raise InvalidRequest(self.name, f"There is no model {request.model!r} here.")
        if request.size not in SHEETS:
            raise InvalidRequest(self.name, f"size: must be one of: {', '.join(SHEETS)}.")
        if len(request.references) != request.count:
            raise InvalidRequest(
                self.name, "references: must name one picture for each print that `count` asks for."
            )
        try:
            files = [
                await asyncio.to_thread(_print, reference.content, request.size, media_type)
                for reference in request.references
            ]
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            raise InvalidRequest(
                self.name,
                f"references: must be PNG, JPEG, WebP or GIF of up to {PIXELS_MAX} pixels.",
            ) from None
        return ProviderResult(
            files=tuple(files), usage=Usage(images=len(files)), remote_id=None, request_id=None
        )

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""


def _print(content: bytes, size: str, media_type: str) -> ProducedFile:
    """Scale a picture, as it is to be seen, until it meets two edges of the sheet."""
    with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as opened:
        if opened.width * opened.height > PIXELS_MAX:
            raise ValueError("too many pixels")
        picture = ImageOps.exif_transpose(opened).convert("RGB")
    sheet = _sheet_pixels(size, landscape=picture.width > picture.height)
    scaled = ImageOps.contain(picture, sheet, Image.Resampling.LANCZOS)
    written = io.BytesIO()
    if media_type == "application/pdf":
        scaled = ImageOps.pad(scaled, sheet, color="white")
        # Without the dates, so that printing again makes the same file.
        scaled.save(written, "PDF", resolution=DPI, creationDate=None, modDate=None)
    else:
        scaled.save(written, "PNG", dpi=(DPI, DPI))
    return ProducedFile(
        content=written.getvalue(), media_type=media_type, width=scaled.width, height=scaled.height
    )


def _sheet_pixels(size: str, *, landscape: bool) -> tuple[int, int]:
    short, long = (round(length / _MM_PER_INCH * DPI) for length in SHEETS[size])
    return (long, short) if landscape else (short, long)
