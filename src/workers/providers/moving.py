"""Draws a placeholder video from a prompt: the same request, the same bytes.

Pillow writes no MP4, but a sequence of pictures in AVIF, which is AV1 in the same container: a few
fields make the one into the other, and no encoder of videos is needed.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator

from PIL import Image, ImageDraw

from workers.providers.drawing import draw_picture
from workers.providers.pictures import PIXELS_MAX

FRAMES_PER_SECOND = 4

_LINES = re.compile(r"([1-9][0-9]{2,3})p|([24])k", re.IGNORECASE)
_LINES_OF_K = {"2": 1440, "4": 2160}
_QUALITY = 45
_SPEED_MAX = 10
# Boxes that are skipped by whoever reads the file.
_FREE = b"free"
_BRANDS = (b"iso6", b"av01", b"mp41")


def frame_size(resolution: str) -> tuple[int, int]:
    """Return the width and height in pixels of a resolution such as `720p` or `4k`, at 16:9.

    Raises ValueError for what has another form or is too large.
    """
    found = _LINES.fullmatch(resolution)
    if found is None:
        raise ValueError(f"the size {resolution[:40]!r} is no resolution such as 720p")
    height = int(found[1]) if found[1] else _LINES_OF_K[found[2]]
    # Both have to be even.
    width, height = -(-height * 16 // 9) // 2 * 2, height // 2 * 2
    if width * height > PIXELS_MAX:
        raise ValueError(f"the size {resolution} has more than {PIXELS_MAX} pixels")
    return width, height


def draw_video(
    prompt: str,
    *,
    width: int,
    height: int,
    seconds: int,
    quality: str,
    index: int,
    rich: bool,
    band: str,
    variant: str = "",
) -> bytes:
    """Return an MP4 of that size and length, the same for the same arguments.

    A picture is drawn as by `draw_picture`; a bar above its band grows with the time. This takes a
    processor about a tenth of a second for each second of video.
    """
    content = draw_picture(
        prompt,
        width=width,
        height=height,
        quality=quality,
        index=index,
        rich=rich,
        band=band,
        variant=variant,
    )
    with Image.open(io.BytesIO(content)) as picture:
        background = picture.convert("RGB")
    count, file = seconds * FRAMES_PER_SECOND, io.BytesIO()
    _frame(background, 0, count).save(
        file,
        "AVIF",
        save_all=True,
        append_images=[_Film(background, count)],
        duration=1000 // FRAMES_PER_SECOND,
        quality=_QUALITY,
        speed=_SPEED_MAX,
        range="limited",
        max_threads=1,
    )
    return _as_mp4(file.getvalue())


class _Film:
    """All frames but the first, each drawn when it is its turn: at once they fill the memory.

    It has what Pillow asks of an animated picture that is to be saved.
    """

    mode = "RGB"

    def __init__(self, picture: Image.Image, count: int) -> None:
        self.size = picture.size
        self._picture = picture
        self._count = count
        self._frame = picture

    def seek(self, place: int) -> None:
        """Go to a frame, counted from 0. Raises EOFError after the last."""
        if place + 1 >= self._count:
            raise EOFError
        self._frame = _frame(self._picture, place + 1, self._count)

    def tobytes(self, *form: str) -> bytes:
        """Return the pixels of the frame."""
        return self._frame.tobytes(*form)


def _frame(picture: Image.Image, place: int, count: int) -> Image.Image:
    width, height = picture.size
    top, thickness = height - height // 18, max(2, height // 180)
    frame = picture.copy()
    box = (0, top - thickness, width * (place + 1) // count, top)
    ImageDraw.Draw(frame).rectangle(box, fill="white")
    return frame


def _as_mp4(avif: bytes) -> bytes:
    """Return a sequence in AVIF as a video: what was a picture's is skipped, times are none."""
    data = bytearray(avif)
    top = dict(_boxes(data, 0, len(data)))
    _brand(data, *top[b"ftyp"])
    _drop(data, top[b"meta"])
    movie = dict(_boxes(data, *top[b"moov"]))
    track = dict(_boxes(data, *movie[b"trak"]))
    media = dict(_boxes(data, *track[b"mdia"]))
    # It says that the sequence is repeated for ever, and so has no length.
    _drop(data, track[b"edts"])
    struct.pack_into("4s", data, media[b"hdlr"][0] + 8, b"vide")
    headers = (movie[b"mvhd"][0], 24), (track[b"tkhd"][0], 28), (media[b"mdhd"][0], 24)
    length = data[headers[-1][0] + 24 : headers[-1][0] + 32]
    for start, length_at in headers:
        assert data[start] == 1, "the times have 64 bits"
        # When it was made, which would make each file another one.
        data[start + 4 : start + 20] = bytes(16)
        data[start + length_at : start + length_at + 8] = length
    return bytes(data)


def _boxes(data: bytearray, start: int, end: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield the name of each box, and where its content begins and ends."""
    while start < end:
        size, name = struct.unpack_from(">I4s", data, start)
        yield name, (start + 8, start + size)
        start += size


def _drop(data: bytearray, box: tuple[int, int]) -> None:
    """Leave room in place of a box: others are found by where they are."""
    start, end = box
    data[start - 4 : end] = _FREE + bytes(end - start)


def _brand(data: bytearray, start: int, end: int) -> None:
    """Say what the file is; the room of the names that are left over becomes a free box."""
    content = _BRANDS[0] + bytes(4) + b"".join(_BRANDS)
    rest = end - start - len(content)
    assert rest >= 8, "AVIF has more names than MP4"
    data[start:end] = content + struct.pack(">I4s", rest, _FREE) + bytes(rest - 8)
    struct.pack_into(">I", data, start - 8, len(content) + 8)
