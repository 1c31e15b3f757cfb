"""The scenes that a placeholder may show. Each draws itself from random figures alone."""

from __future__ import annotations

import math
from random import Random

from workers.providers.canvas import TONE_MAX, Canvas, Disc, Pie, Point, Polygon, Ring, Shape, Tones

_RIDGE_STEPS = 160
_STARS = 90
_BIRDS = 5
_BIRD_SPAN = 0.014
_TILE_TONES = (20, 75, 120, 165, 245)


def dunes(canvas: Canvas, random: Random) -> None:
    """Draw ridges, darker the nearer, below a sun."""
    canvas.backdrop((150, 235))
    centre = (random.uniform(0.2, 0.8), random.uniform(0.2, 0.4))
    sun = Disc(centre, random.uniform(0.1, 0.17))
    if canvas.rich:
        canvas.glow(centre, sun.radius * 3.5, 60)
        halo = (Ring(centre, sun.radius * (1.5 + step * 0.55), 0.004) for step in range(3))
        canvas.lighten(*halo, by=26)
    canvas.layer(sun, tones=(253, 225))
    if canvas.rich:
        canvas.tint(sun)
        canvas.lighten(*_birds(random), by=-110)
    ridges = 6 if canvas.rich else 4
    for number in range(1, ridges + 1):
        nearness = number / ridges
        line = _ridge(random, 0.42 + 0.42 * nearness, 0.05 + 0.05 * nearness)
        canvas.layer(Polygon([(0, 1), *line, (1, 1)]), tones=_around(round(198 - 165 * nearness)))


def orbits(canvas: Canvas, random: Random) -> None:
    """Draw planets on their rings around a star."""
    canvas.backdrop((28, 70))
    centre = (random.uniform(0.35, 0.65), random.uniform(0.36, 0.5))
    star = Disc(centre, 0.1)
    if canvas.rich:
        canvas.lighten(*_stars(random), by=150)
        canvas.glow(centre, 0.55, 70)
    canvas.layer(star, tones=(250, 205))
    if canvas.rich:
        canvas.tint(star)
    rings = 6 if canvas.rich else 4
    for number in range(rings):
        radius = 0.17 + number * 0.62 / rings
        canvas.lighten(Ring(centre, radius, 0.0035), by=70)
        angle = random.uniform(0, 2 * math.pi)
        place = (
            centre[0] + math.cos(angle) * canvas.across(radius),
            centre[1] + math.sin(angle) * canvas.down(radius),
        )
        planet = Disc(place, random.uniform(0.02, 0.055))
        tone = random.randint(120, 235)
        canvas.layer(planet, tones=(tone + 20, tone - 70))
        if canvas.rich and number % 2:
            canvas.tint(planet)
            canvas.lighten(Ring(place, planet.radius * 1.5, 0.004), by=90)


def arches(canvas: Canvas, random: Random) -> None:
    """Draw nested arches, pale and dark by turns, with a lamp in the innermost."""
    canvas.backdrop((225, 190))
    centre = (random.uniform(0.4, 0.6), random.uniform(0.68, 0.76))
    if canvas.rich:
        canvas.glow((centre[0], centre[1] - 0.2), 0.7, 30)
    count = 8 if canvas.rich else 6
    for number in range(count):
        inwardness = number / (count - 1)
        tone = round(205 - 175 * inwardness if number % 2 else 90 + 100 * inwardness)
        arch = _arch(canvas, centre, 0.66 - 0.58 * inwardness)
        canvas.layer(*arch, tones=_around(tone))
        if canvas.rich and number == count // 2:
            canvas.tint(*arch)
    lamp = Disc(centre, 0.035)
    canvas.layer(lamp, tones=(252, 235))
    if canvas.rich:
        canvas.tint(lamp)


def tiles(canvas: Canvas, random: Random) -> None:
    """Draw a grid of discs, rings and quarters of discs."""
    canvas.backdrop((228, 205))
    columns = 6 if canvas.rich else 4
    side = 1 / columns
    rows = math.ceil(columns * canvas.size[1] / canvas.size[0])
    by_tone: dict[int, list[Shape]] = {}
    for row in range(rows):
        for column in range(columns):
            shapes = by_tone.setdefault(random.choice(_TILE_TONES), [])
            shapes.append(_tile(canvas, random, column * side, row * side, side))
    for tone, shapes in sorted(by_tone.items(), reverse=True):
        canvas.layer(*shapes, tones=_around(tone))
        if canvas.rich and tone in _TILE_TONES[::2]:
            canvas.tint(*shapes)


SCENES = (dunes, orbits, arches, tiles)


def _around(tone: int) -> Tones:
    """Return tones that fade past one."""
    return min(TONE_MAX, tone + 20), max(0, tone - 20)


def _tile(canvas: Canvas, random: Random, left: float, top: float, side: float) -> Shape:
    """Return one tile's shape; left, top and side are fractions of the width."""
    width, height = canvas.size

    def at(x: float, y: float) -> Point:
        return left + side * x, (top + side * y) * width / height

    reach = side / canvas.across(1)
    kind = random.randrange(5)
    if kind == 0:
        return Disc(at(0.5, 0.5), reach * 0.42)
    if kind == 1:
        return Ring(at(0.5, 0.5), reach * 0.42, reach * 0.16)
    quarter = random.randrange(4)
    return Pie(at(quarter in (1, 2), quarter in (2, 3)), reach, quarter * 90)


def _arch(canvas: Canvas, centre: Point, radius: float) -> tuple[Shape, Shape]:
    (x, y), reach = centre, canvas.across(radius)
    return Disc(centre, radius), Polygon(
        [(x - reach, y), (x + reach, y), (x + reach, 1), (x - reach, 1)]
    )


def _ridge(random: Random, height: float, swing: float) -> list[Point]:
    """Return a line from left to right around a height: three waves."""
    waves = [
        (random.uniform(2, 5) * number, random.uniform(0, 2 * math.pi), swing / number / 2)
        for number in (1, 2, 3)
    ]
    return [
        (x, height + sum(reach * math.sin(pace * x + phase) for pace, phase, reach in waves))
        for x in (step / _RIDGE_STEPS for step in range(_RIDGE_STEPS + 1))
    ]


def _birds(random: Random) -> list[Shape]:
    places = [(random.uniform(0.1, 0.9), random.uniform(0.08, 0.35)) for _ in range(_BIRDS)]
    span = _BIRD_SPAN
    return [
        Polygon([(x - span, y - span / 2), (x, y), (x + span, y - span / 2), (x, y + span / 3)])
        for x, y in places
    ]


def _stars(random: Random) -> list[Shape]:
    return [
        Disc((random.random(), random.random()), random.uniform(0.0008, 0.0028))
        for _ in range(_STARS)
    ]
