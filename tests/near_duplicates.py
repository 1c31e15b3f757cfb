"""Prompts as people repeat, dress and change them, each with what it asks for.

Two prompts may share a picture only if their `meaning` is equal. It follows from how they were
made, so that nothing of the product has a part in it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from enum import StrEnum

_COLOURS = ("red", "blue", "green", "yellow", "white", "black", "orange", "purple")
_THINGS = ("sofa", "car", "airplane", "fox", "horse", "teapot", "lighthouse", "windmill", "violin")
_SYNONYMS = {"sofa": "couch", "car": "automobile", "airplane": "aeroplane"}
_SIDES = ("to the left of", "to the right of", "in front of", "behind")
_PLACES = ("in the snow", "at night", "by the sea", "in an old town", "under a bridge", "at dawn")
_EXTRAS = ("and a small dog", "with two birds", "in the style of a woodcut")
_DRESSES = (
    "Please make a picture of {}",
    "Create an image of {}.",
    "{}!!",
    "Generate {}",
    "Can you show me a picture of {}?",
)


class Variant(StrEnum):
    """What a prompt is to the one that it comes from."""

    FIRST = "first"
    SAME = "same"
    DRESSED = "dressed"
    REWORDED = "reworded"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Scene:
    """What is to be seen."""

    colour: str
    thing: str
    side: str
    other_colour: str
    other: str
    place: str
    extra: str = ""

    def __str__(self) -> str:
        return (
            f"a {self.colour} {self.thing} {self.side} a {self.other_colour} {self.other}"
            f" {self.place} {self.extra}"
        ).strip()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a tenant asks for."""

    tenant: str
    prompt: str
    meaning: Scene
    variant: Variant


def draw_firsts(count: int, tenants: tuple[str, ...], choose: random.Random) -> list[Asked]:
    """Return so many prompts; what one tenant asks for, another may too."""
    found: dict[tuple[str, Scene], Asked] = {}
    while len(found) < count:
        scene = Scene(
            choose.choice(_COLOURS),
            choose.choice(_THINGS),
            choose.choice(_SIDES),
            choose.choice(_COLOURS),
            choose.choice(_THINGS),
            choose.choice(_PLACES),
        )
        for tenant in choose.sample(tenants, choose.randint(1, len(tenants))):
            if len(found) < count:
                found[tenant, scene] = Asked(tenant, str(scene), scene, Variant.FIRST)
    return list(found.values())


def draw_near(first: Asked, choose: random.Random) -> Asked:
    """Return a near-duplicate of a prompt, of the same tenant."""
    variant = choose.choice([kind for kind in Variant if kind is not Variant.FIRST])
    text, scene = first.prompt, first.meaning
    match variant:
        case Variant.DRESSED:
            text = choose.choice(_DRESSES).format(text if choose.random() < 0.5 else text.upper())
        case Variant.REWORDED:
            for word, synonym in _SYNONYMS.items():
                text = text.replace(f" {word} ", f" {synonym} ")
            if text == first.prompt:
                variant = Variant.SAME
        case Variant.CHANGED:
            scene = _changed(scene, choose)
            text = str(scene)
    return Asked(first.tenant, text, scene, variant)


def _changed(scene: Scene, choose: random.Random) -> Scene:
    """Return a scene with one thing changed, as who edits a prompt does."""
    changes = [
        replace(scene, colour=_other(_COLOURS, scene.colour, choose)),
        replace(scene, thing=_other(_THINGS, scene.thing, choose)),
        replace(scene, side=_other(_SIDES, scene.side, choose)),
        replace(scene, place=_other(_PLACES, scene.place, choose)),
        replace(scene, extra=_other(_EXTRAS, scene.extra, choose)),
        replace(scene, thing=scene.other, other=scene.thing),
        replace(scene, colour=scene.other_colour, other_colour=scene.colour),
    ]
    return choose.choice([change for change in changes if change != scene])


def _other(words: tuple[str, ...], word: str, choose: random.Random) -> str:
    return choose.choice([one for one in words if one != word])
