"""The placeholder videos: a player finds what was asked for in them."""

from __future__ import annotations

import io

import av
import pytest
from PIL import Image, ImageChops

from workers.providers.moving import FRAMES_PER_SECOND, draw_video, frame_size
from workers.providers.videos import read_video


def draw(**changes) -> bytes:
    """Draw a short video."""
    figures = {"width": 320, "height": 180, "seconds": 2, "quality": "standard", "index": 0}
    return draw_video("a red fox", **{"rich": False, "band": "BAND", **figures, **changes})


def frames(content: bytes) -> list[Image.Image]:
    """Play a video."""
    with av.open(io.BytesIO(content)) as played:
        return [frame.to_image() for frame in played.decode(video=0)]


@pytest.mark.parametrize("seconds", [1, 5, 12])
@pytest.mark.parametrize("size", ["480p", "720p"])
def test_a_player_shows_the_whole_of_it(seconds, size):
    width, height = frame_size(size)
    content = draw(width=width, height=height, seconds=seconds)
    with av.open(io.BytesIO(content)) as played:
        assert "mp4" in played.format.name
        assert played.duration == seconds * 1_000_000
        [stream] = played.streams
        assert stream.codec_context.name.endswith("av1") or "dav1d" in stream.codec_context.name
        shown = list(played.decode(video=0))
        last = shown[-1]
        assert last.pts is not None
        assert float(last.pts * last.time_base) == seconds - 1 / FRAMES_PER_SECOND
    assert {(frame.width, frame.height) for frame in shown} == {(width, height)}
    assert len(shown) == seconds * FRAMES_PER_SECOND


def test_its_header_says_what_it_is():
    content = draw(seconds=3)
    file, seconds = read_video(content)
    assert (file.media_type, file.width, file.height, seconds) == ("video/mp4", 320, 180, 3)
    # Nothing of it says that it is a picture, or that it is repeated for ever.
    assert not [name for name in (b"avif", b"avis", b"meta", b"pict", b"edts") if name in content]


def test_it_moves_with_the_time():
    shown = frames(draw())
    [first, *_, last] = shown
    box = ImageChops.difference(first, last).point(lambda value: 255 * (value > 100)).getbbox()
    assert box is not None
    left, top, right, bottom = box
    assert (left < 320 // 4, right > 300, top > 160, bottom < 176) == (True,) * 4


def test_the_band_is_in_every_frame():
    for frame, without in zip(frames(draw()), frames(draw(band="")), strict=True):
        box = (
            ImageChops.difference(frame, without).point(lambda value: 255 * (value > 60)).getbbox()
        )
        assert box is not None
        assert box[1] >= 170


def test_the_same_request_gets_the_same_bytes():
    first = draw()
    assert first == draw()
    others = [draw(index=1), draw(seconds=3), draw(variant="x"), draw(quality="premium", rich=True)]
    assert len({first, *others}) == 5


def test_it_carries_no_time_at_which_it_was_made():
    content = draw()
    for name in (b"mvhd", b"tkhd", b"mdhd"):
        place = content.index(name)
        assert content[place + 8 : place + 24] == bytes(16)


@pytest.mark.parametrize(
    ("size", "pixels"),
    [("480p", (854, 480)), ("720p", (1280, 720)), ("1080P", (1920, 1080)), ("4k", (3840, 2160))],
)
def test_a_resolution_is_a_size(size, pixels):
    assert frame_size(size) == pixels


@pytest.mark.parametrize("size", ["", "p", "72p", "0720p", "9999p", "8k", "1280x720", "720", "any"])
def test_what_is_no_resolution_is_told(size):
    with pytest.raises(ValueError, match="the size"):
        frame_size(size)
