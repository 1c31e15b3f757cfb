"""Prompts for pictures: millions of different ones, many of them alike, as users write them."""

from __future__ import annotations

from math import prod

_SUBJECTS = (
    *("fox", "lighthouse", "teapot", "violin", "astronaut", "castle", "bicycle", "owl", "sailboat"),
    *("robot", "tree", "dragon", "train", "horse", "piano", "balloon", "windmill", "whale"),
    *("clock", "bridge", "cat", "dancer", "garden", "knight", "lantern", "market", "mountain"),
    *("parrot", "river", "rocket", "statue", "tiger", "tower", "turtle", "umbrella", "village"),
    "wolf",
)
_LOOKS = (
    *("red", "blue", "green", "golden", "black", "white", "purple", "old", "tiny", "huge"),
    *("wooden", "glass", "broken", "sleepy", "shiny", "paper", "striped"),
)
_WITH = (
    *("beside a lake", "on a hill", "under a bridge", "in a forest", "in front of a cafe"),
    *("behind a fence", "above the clouds", "next to a red car", "on a wooden table"),
    *("in an empty street", "at the edge of a cliff", "inside a snow globe", "near two cows"),
)
_WHEN = (
    *("at dawn", "at night", "in the rain", "in the snow", "in summer", "during a storm"),
    *("in autumn fog", "at noon", "under a full moon", "on a windy day", "at sunset"),
)
_STYLES = (
    *("oil on canvas", "watercolour", "pencil drawing", "photograph", "flat vector art"),
    *("woodcut", "pixel art", "3d render", "charcoal sketch", "stained glass", "comic"),
)
_PARTS = (_LOOKS, _SUBJECTS, _WITH, _WHEN, _STYLES)
PROMPTS = prod(map(len, _PARTS))
# Has no factor in common with PROMPTS, so that neighbours in number are none in meaning.
_STRIDE = 7_368_787


def prompt(number: int) -> str:
    """Return one of PROMPTS different prompts."""
    place = number * _STRIDE % PROMPTS
    words = []
    for part in _PARTS:
        place, index = divmod(place, len(part))
        words.append(part[index])
    look, subject, beside, when, style = words
    return f"a {look} {subject} {beside} {when}, {style}"


def dressed(text: str) -> str:
    """Return a prompt as somebody else writes it who wants the same."""
    return f"Please make a picture of {text.upper()}!"


def changed(text: str) -> str:
    """Return a prompt that is nearly the same and asks for another picture."""
    return f"{text} and without a frame"
