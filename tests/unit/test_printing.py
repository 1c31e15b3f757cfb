"""Prints: the size of the sheet at 150 DPI, nothing cut off, and only from pictures."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image

from workers.providers.base import ProducedFile, ProviderRequest
from workers.providers.errors import InvalidRequest
from workers.providers.printing import PIXELS_MAX, Printing


def picture(width: int, height: int, kind: str = "PNG", **options: object) -> ProducedFile:
    """Return a red picture."""
    written = io.BytesIO()
    Image.new("RGB", (width, height), (200, 0, 0)).save(written, kind, **options)
    return ProducedFile(written.getvalue(), f"image/{kind.lower()}", width, height)


async def print_of(*references: ProducedFile, size: str = "A4", model: str = "print-png"):
    """Return the files of a print of these pictures."""
    request = ProviderRequest(
        kind="image",
        model=model,
        prompt="",
        size=size,
        quality="standard",
        count=len(references) or 1,
        attempt_id="attempt-1",
        user="",
        references=references,
    )
    result = await Printing().generate(request, on_submitted=None)
    assert result.usage.images == len(result.files)
    return result.files


@pytest.mark.parametrize(
    ("width", "height", "size", "expected"),
    [
        (1024, 1024, "A4", (1240, 1240)),  # 210 mm
        (768, 1086, "A4", (1240, 1753)),  # 210 x 297 mm
        (1086, 768, "A4", (1753, 1240)),  # turned with the picture
        (4000, 100, "A5", (1240, 31)),  # made smaller too, and nothing cut off
    ],
)
async def test_a_png_meets_two_edges_of_the_sheet(width, height, size, expected):
    (file,) = await print_of(picture(width, height), size=size)
    with Image.open(io.BytesIO(file.content)) as made:
        assert made.size == expected == (file.width, file.height)
        assert [round(dpi) for dpi in made.info["dpi"]] == [150, 150]
        assert made.getpixel((5, 5)) == (200, 0, 0)


@pytest.mark.parametrize(("size", "points"), [("A4", (595, 842)), ("A3", (842, 1191))])
async def test_a_pdf_has_a_page_of_the_size_of_the_sheet(size, points):
    (file,) = await print_of(picture(600, 800), size=size, model="print-pdf")
    assert (file.media_type, file.content[:5]) == ("application/pdf", b"%PDF-")
    width, height = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+)", file.content).groups()
    # Whole pixels at 150 DPI are not whole points.
    assert (float(width), float(height)) == pytest.approx(points, abs=1)


@pytest.mark.parametrize("model", ["print-png", "print-pdf"])
async def test_printing_again_makes_the_same_file(model):
    first, second = [await print_of(picture(300, 200), model=model) for _ in range(2)]
    assert first == second


async def test_a_turned_photo_is_printed_as_it_is_seen():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    (file,) = await print_of(picture(800, 600, "JPEG", exif=exif))
    assert file.height > file.width


async def test_each_reference_gets_a_print():
    files = await print_of(picture(100, 100), picture(100, 200))
    assert [file.height for file in files] == [1240, 1754]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"size": "A9"}, "size: must be one of: A5, A4"),
        ({"model": "print-gold"}, "no model 'print-gold'"),
        ({"references": ()}, "references: must name one"),
        ({"references": (ProducedFile(b"no picture", "image/png", 1, 1),)}, "must be PNG"),
    ],
)
async def test_what_can_not_be_printed_says_why(change, problem):
    references = change.pop("references", (picture(10, 10),))
    with pytest.raises(InvalidRequest, match=problem):
        await print_of(*references, **change)


async def test_a_picture_of_too_many_pixels_is_not_decoded():
    side = int(PIXELS_MAX**0.5) + 1
    huge = io.BytesIO()
    Image.new("1", (side, side)).save(huge, "PNG")
    with pytest.raises(InvalidRequest, match="up to"):
        await print_of(ProducedFile(huge.getvalue(), "image/png", side, side))
