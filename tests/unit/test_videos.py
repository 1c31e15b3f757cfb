"""What a video's bytes say about it."""

from __future__ import annotations

import struct
from decimal import Decimal

import pytest

from workers.providers.moving import draw_video
from workers.providers.videos import NotAVideo, read_video


def box(name: bytes, content: bytes) -> bytes:
    """Return a box of an MP4."""
    return struct.pack(">I4s", 8 + len(content), name) + content


def track(width: int, height: int) -> bytes:
    """Return a track of that size; 0 for one of sound."""
    return box(b"trak", box(b"tkhd", bytes(76) + struct.pack(">II", width << 16, height << 16)))


def header(scale: int, length: int) -> bytes:
    """Return the header of a movie, with times of 32 bits."""
    return box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, scale, length) + bytes(80))


def long_header(scale: int, length: int) -> bytes:
    """Return the header of a movie, with times of 64 bits."""
    return box(b"mvhd", struct.pack(">IQQIQ", 1 << 24, 0, 0, scale, length) + bytes(80))


START = box(b"ftyp", b"isom")
MOVIE = START + box(b"moov", header(600, 3018) + track(0, 0) + track(1280, 720))


def test_the_length_and_size_are_those_of_its_headers():
    file, seconds = read_video(MOVIE)
    assert (file.media_type, file.width, file.height) == ("video/mp4", 1280, 720)
    assert seconds == Decimal("5.030")


def test_times_may_have_64_bits_and_boxes_a_long_size():
    movie = header_of_64 = long_header(1000, 4000) + track(640, 360)
    content = START + struct.pack(">I4sQ", 1, b"moov", 16 + len(header_of_64)) + movie
    file, seconds = read_video(content)
    assert (file.width, file.height, seconds) == (640, 360, 4)


def test_the_last_box_may_go_to_the_end():
    content = START + struct.pack(">I4s", 0, b"moov") + header(10, 20) + track(0, 0)
    file, seconds = read_video(content)
    assert (file.width, file.height, seconds) == (None, None, 2)


def test_a_drawn_video_has_the_seconds_it_was_asked_for():
    content = draw_video(
        "a red fox",
        width=64,
        height=36,
        seconds=3,
        quality="standard",
        index=0,
        rich=False,
        band="TEST",
    )
    file, seconds = read_video(content)
    assert (file.width, file.height, seconds) == (64, 36, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        START,
        MOVIE[:100],
        MOVIE[8:],
        START + box(b"moov", track(1, 1)),
        START + box(b"moov", header(0, 5)),
        START + box(b"moov", header(1, 0)),
        START + box(b"moov", header(1, 2**32 - 1)),
        START + box(b"moov", box(b"mvhd", b"")),
        START + box(b"moov", header(1, 1) + box(b"trak", box(b"tkhd", b"1234"))),
        START + struct.pack(">I4s", 4, b"moov"),
        START + box(b"free", b"") * 1001 + box(b"moov", header(1, 1)),
    ],
)
def test_what_is_no_video_is_told(content):
    with pytest.raises(NotAVideo):
        read_video(content)
