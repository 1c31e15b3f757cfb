"""What a video's own bytes say about it: MP4, which is a tree of boxes.

The length that a provider bills is that of the file it made, which may differ a little from the one
that was asked for. Only the headers are read; no picture is decoded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from decimal import Decimal

from workers.providers.base import ProducedFile

SECONDS_MAX = 3600

_BOXES_MAX = 1000
_LONG_SIZE, _TO_THE_END = 1, 0
_MILLISECONDS = Decimal("0.001")


class NotAVideo(ValueError):
    """The bytes are no MP4 that can be read."""


def read_video(content: bytes) -> tuple[ProducedFile, Decimal]:
    """Return the file with the size that its header tells, and its length in seconds.

    The size is None if no track has one. Raises NotAVideo.
    """
    view = memoryview(content)
    try:
        boxes = dict(_boxes(view))
        if b"ftyp" not in boxes or b"moov" not in boxes:
            raise NotAVideo("it is no MP4")
        movie = list(_boxes(boxes[b"moov"]))
        seconds = _seconds(dict(movie)[b"mvhd"])
        sizes = [_size(dict(_boxes(box))[b"tkhd"]) for name, box in movie if name == b"trak"]
    except (IndexError, KeyError, struct.error):
        raise NotAVideo("its header is incomplete") from None
    width, height = next((size for size in sizes if all(size)), (None, None))
    return ProducedFile(content, "video/mp4", width, height), seconds


def _boxes(view: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the name and the content of each box."""
    start = 0
    for _ in range(_BOXES_MAX):
        if start >= len(view):
            return
        size, name = struct.unpack_from(">I4s", view, start)
        head = 8
        if size == _LONG_SIZE:
            (size,) = struct.unpack_from(">Q", view, start + head)
            head = 16
        elif size == _TO_THE_END:
            size = len(view) - start
        if size < head or start + size > len(view):
            raise NotAVideo("a part of it is missing")
        yield name, view[start + head : start + size]
        start += size
    raise NotAVideo("it has too many parts")


def _seconds(header: memoryview) -> Decimal:
    # Version 1 has times of 64 bits.
    form, start = (">IQ", 20) if header[0] else (">II", 12)
    scale, length = struct.unpack_from(form, header, start)
    if not scale or not 0 < length <= SECONDS_MAX * scale:
        raise NotAVideo("its length is not known")
    return (Decimal(length) / Decimal(scale)).quantize(_MILLISECONDS)


def _size(header: memoryview) -> tuple[int, int]:
    # The last two fields, with 16 bits after the point.
    width, height = struct.unpack_from(">II", header, len(header) - 8)
    return width >> 16, height >> 16
