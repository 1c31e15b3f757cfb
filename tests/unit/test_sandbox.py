"""The sandbox: its pictures are what was asked for, always the same, and say what they are."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from PIL import Image, ImageChops

from workers.providers import drawing
from workers.providers.base import ProviderRequest, ResumableProvider
from workers.providers.canvas import Canvas
from workers.providers.drawing import draw_picture
from workers.providers.errors import InvalidRequest
from workers.providers.sandbox import BAND, Sandbox

REQUEST = ProviderRequest(
    kind="image",
    model="sandbox-image",
    prompt="a red fox asleep in a library",
    size="512x512",
    quality="standard",
    count=1,
    attempt_id="attempt-1",
    user="",
)


async def never(remote_id: str) -> None:
    """The sandbox has no remote ids."""
    raise AssertionError(remote_id)


async def contents(**changes: object) -> list[bytes]:
    """Return the files of a request like REQUEST."""
    result = await Sandbox().generate(replace(REQUEST, **changes), on_submitted=never)
    return [file.content for file in result.files]


def draw(*, prompt: str = "a red fox", band: str = BAND, rich: bool = False) -> Image.Image:
    """Draw one picture, in colour."""
    content = draw_picture(
        prompt, width=512, height=512, quality="standard", index=0, rich=rich, band=band
    )
    with Image.open(io.BytesIO(content)) as image:
        return image.convert("RGB")


@pytest.mark.parametrize("quality", ["standard", "premium"])
@pytest.mark.parametrize("size", ["512x512", "1024x1536", "1536x1024", "64x64", "3000x100"])
async def test_a_picture_is_a_png_of_the_size_asked_for(size, quality):
    request = replace(REQUEST, size=size, quality=quality)
    result = await Sandbox().generate(request, on_submitted=never)
    [file] = result.files
    assert file.media_type == "image/png"
    with Image.open(io.BytesIO(file.content)) as image:
        image.load()
        assert image.format == "PNG"
        assert f"{image.width}x{image.height}" == f"{file.width}x{file.height}" == size


async def test_the_count_is_made_and_billed():
    request = replace(REQUEST, count=3)
    result = await Sandbox().generate(request, on_submitted=never)
    assert len({file.content for file in result.files}) == 3
    assert result.usage.images == 3
    assert (result.remote_id, result.request_id) == (None, None)


@pytest.mark.parametrize("quality", ["standard", "premium"])
async def test_the_same_request_gets_the_same_bytes(quality):
    assert await contents(quality=quality, count=2) == await contents(quality=quality, count=2)


async def test_another_prompt_size_or_quality_gets_another_picture():
    pictures = [
        *await contents(),
        *await contents(prompt="a red fox asleep in a library."),
        *await contents(size="512x528"),
        *await contents(quality="premium"),
    ]
    assert len(set(pictures)) == 4


async def test_who_asks_makes_no_difference():
    assert await contents() == await contents(user="5f2a", attempt_id="attempt-2")


async def test_premium_has_more_colours():
    [plain], [rich] = await contents(), await contents(quality="premium")
    colours = [len(set(colours_of(content))) for content in (plain, rich)]
    assert colours[0] <= 256 < colours[1]


def colours_of(content: bytes) -> list[int]:
    """Return the colours in a picture."""
    with Image.open(io.BytesIO(content)) as image:
        found = image.convert("RGB").getcolors(maxcolors=2**24)
    assert found is not None
    return [colour for _, colour in found]


@pytest.mark.parametrize("rich", [False, True])
def test_the_band_at_the_bottom_says_what_it_is(rich):
    assert BAND == "SANDBOX · no real generation"
    difference = ImageChops.difference(draw(rich=rich), draw(rich=rich, band=""))
    box = difference.getbbox()
    assert box is not None
    left, top, right, bottom = box
    assert top >= 512 - 512 // 18
    assert (right - left, bottom - top) > (150, 8)


@pytest.mark.parametrize(
    "prompt",
    [
        "x" * 5000,
        "word " * 3000,
        "\n\t",
        "·",
        "狐狸 🦊 \u202etxet",
        "a\ud83eb",
        "W" * 200 + " tail",
    ],
)
async def test_any_prompt_can_be_written(prompt):
    assert await contents(prompt=prompt, quality="premium")


def test_the_prompt_is_written_on_the_picture():
    canvas = Canvas(512, 512, rich=False)
    canvas.backdrop((100, 100))
    drawing._write(canvas, "a red fox asleep in a library, " * 3, BAND, "")
    lines = canvas._tones.crop((0, 300, 512, 480)).point([tone > 200 for tone in range(256)])
    left, top, right, bottom = lines.getbbox()
    assert left >= 512 // 24
    assert right <= 512 - 512 // 24
    assert bottom - top > 2 * 512 // 20


@pytest.mark.parametrize("size", ["auto", "0x0", "1024", "1024X1024", "99999999x1", "9999x9999"])
async def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(InvalidRequest, match="size") as caught:
        await contents(size=size)
    assert caught.value.dispatched == "no"


def test_it_can_not_be_resumed():
    assert not isinstance(Sandbox(), ResumableProvider)
