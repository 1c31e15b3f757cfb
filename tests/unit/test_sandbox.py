"""The sandbox: what it makes is what was asked for, always the same, and says what it is."""

from __future__ import annotations

import io
from dataclasses import replace

import av
import pytest
from PIL import Image, ImageChops

from generations.settings import Message, Role, Settings
from workers.providers import drawing
from workers.providers.base import ProducedFile, ProviderRequest, ResumableProvider
from workers.providers.canvas import Canvas
from workers.providers.drawing import draw_picture
from workers.providers.errors import InvalidRequest
from workers.providers.pictures import read_picture
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


@pytest.mark.parametrize(
    ("output_format", "media_type"),
    [("", "image/png"), ("png", "image/png"), ("webp", "image/webp"), ("jpeg", "image/jpeg")],
)
async def test_a_picture_comes_in_the_format_asked_for(output_format, media_type):
    request = replace(REQUEST, settings=Settings(output_format=output_format))
    [file] = (await Sandbox().generate(request, on_submitted=never)).files
    assert file.media_type == media_type
    assert read_picture(file.content) == file


async def test_another_seed_or_reference_gets_another_picture_and_the_format_does_not():
    [reference] = await contents(prompt="a reference")
    given = ProducedFile(reference, "image/png", 512, 512)
    pictures = [
        *await contents(),
        *await contents(settings=Settings(seed=1)),
        *await contents(settings=Settings(seed=2)),
        *await contents(settings=Settings(negative_prompt="rain")),
        *await contents(settings=Settings(references=("acme/1/0",)), references=(given,)),
        *await contents(references=(given,), mask=given),
    ]
    assert len(set(pictures)) == 6
    assert await contents(settings=Settings(output_format="png")) == await contents()


CHAT = replace(REQUEST, kind="chat", model="sandbox-chat", size="")


async def test_an_answer_says_what_it_is_and_what_was_said():
    told = []
    request = replace(CHAT, on_progress=lambda stage, percent: told.append((stage, percent)))
    result = await Sandbox().generate(request, on_submitted=never)
    [file] = result.files
    text = file.content.decode()
    assert file.media_type == "text/plain; charset=utf-8"
    assert text.startswith(f"[{BAND}] ")
    assert REQUEST.prompt in text
    assert result.usage.text_output_tokens == len(text.split())
    assert told == [("answering", None)]


async def test_an_answer_is_the_same_for_the_same_request_alone():
    changes = [
        {},
        {"prompt": "a red fox awake in a library"},
        {"settings": Settings(seed=1)},
        {"settings": Settings(system="Be brief.")},
        {"settings": Settings(messages=(Message(Role.USER, "Hello"),))},
    ]
    asked = [replace(CHAT, **change, count=2) for change in changes]
    answers = [
        file.content
        for request in asked
        for file in (await Sandbox().generate(request, on_submitted=never)).files
    ]
    again = (await Sandbox().generate(asked[0], on_submitted=never)).files
    assert [file.content for file in again] == answers[:2]
    assert len(set(answers)) == len(answers) == 10


async def test_an_answer_breaks_off_where_it_may_not_be_longer():
    request = replace(CHAT, count=2, settings=Settings(max_tokens=7))
    result = await Sandbox().generate(request, on_submitted=never)
    assert [len(file.content.decode().split()) for file in result.files] == [7, 7]
    assert result.usage.text_output_tokens == 14


async def test_earlier_messages_count_as_input():
    short = await Sandbox().generate(CHAT, on_submitted=never)
    settings = Settings(system="Be brief.", messages=(Message(Role.ASSISTANT, "one two three"),))
    long = await Sandbox().generate(replace(CHAT, settings=settings), on_submitted=never)
    assert long.usage.text_input_tokens - short.usage.text_input_tokens == 2 + 3 + 2 * 3


async def test_a_video_has_the_seconds_asked_for():
    told = []
    request = replace(
        REQUEST,
        kind="video",
        model="sandbox-video",
        size="480p",
        count=2,
        settings=Settings(seconds=2),
        on_progress=lambda stage, percent: told.append((stage, percent)),
    )
    result = await Sandbox().generate(request, on_submitted=never)
    assert [(file.media_type, file.width, file.height) for file in result.files] == [
        ("video/mp4", 854, 480)
    ] * 2
    assert len({file.content for file in result.files}) == 2
    with av.open(io.BytesIO(result.files[0].content)) as played:
        assert played.duration == 2_000_000
    assert result.usage.seconds == 4
    assert told == [("drawing", 0), ("drawing", 50)]


@pytest.mark.parametrize("size", ["512x512", "", "90p"])
async def test_a_resolution_that_is_none_is_refused(size):
    request = replace(REQUEST, kind="video", size=size)
    with pytest.raises(InvalidRequest, match="size"):
        await Sandbox().generate(request, on_submitted=never)


@pytest.mark.parametrize("size", ["auto", "0x0", "1024", "1024X1024", "99999999x1", "9999x9999"])
async def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(InvalidRequest, match="size") as caught:
        await contents(size=size)
    assert caught.value.dispatched == "no"


def test_it_can_not_be_resumed():
    assert not isinstance(Sandbox(), ResumableProvider)
